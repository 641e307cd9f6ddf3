package serve

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"bitnet/bitnet/infer"
	"bitnet/data/printable"
)

// Log writes a line of JSON for each request.
type Log struct {
	mu      sync.Mutex
	w       io.Writer
	texts   bool
	failing bool
}

// NewLog writes to w. What people ask and get is part of the lines only with texts.
func NewLog(w io.Writer, texts bool) *Log { return &Log{w: w, texts: texts} }

// record is a line of the log.
type record struct {
	Time         time.Time `json:"time"`
	ID           string    `json:"id"` // also sent as X-Request-Id
	Client       string    `json:"client"`
	Method       string    `json:"method"`
	Path         string    `json:"path"`
	Status       int       `json:"status"` // 499: the client left before its answer
	MS           float64   `json:"ms"`
	Stream       bool      `json:"stream,omitempty"`
	Texts        int       `json:"texts,omitempty"`
	PromptTokens int       `json:"prompt_tokens,omitempty"`
	CachedTokens int       `json:"cached_tokens,omitempty"`
	NewTokens    int       `json:"new_tokens,omitempty"`
	WaitMS       float64   `json:"wait_ms,omitempty"`        // of the text that waited longest
	FirstTokenMS float64   `json:"first_token_ms,omitempty"` // likewise, from its turn on
	Finish       string    `json:"finish,omitempty"`         // of the first text
	Error        string    `json:"error,omitempty"`
	Prompts      []string  `json:"prompts,omitempty"`
	Answers      []string  `json:"answers,omitempty"`
}

// statusLeft is the status in the log of a client that left before its answer.
const statusLeft = 499

type recordKey struct{}

// noteOf is the record of a request.
func noteOf(r *http.Request) *record {
	if n, ok := r.Context().Value(recordKey{}).(*record); ok {
		return n
	}
	return &record{}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// begin notes what is asked for.
func (n *record) begin(q *request, all []*text) { n.Stream, n.Texts = q.Stream, len(all) }

// end notes what was answered.
func (n *record) end(all []*text, s *Server) {
	for _, t := range all {
		c := t.result
		n.PromptTokens += c.PromptTokens
		n.CachedTokens += c.Cached
		n.NewTokens += len(c.Tokens)
		n.WaitMS = max(n.WaitMS, milliseconds(c.Waited))
		n.FirstTokenMS = max(n.FirstTokenMS, milliseconds(c.PromptTime))
		if s.log != nil && s.log.texts {
			n.Prompts = append(n.Prompts, s.model.Tokenizer.Decode(t.job.Tokens))
			n.Answers = append(n.Answers, c.Text)
		}
	}
	n.Finish = finish(all[0].result)
}

// finish is why a text ended, "" where it did not.
func finish(c infer.Completion) string {
	if len(c.Tokens) == 0 && !c.Ended && c.Prompt == nil {
		return ""
	}
	return c.Reason
}

// fail notes an error, unless the client just left.
func (n *record) fail(err error) {
	if !errors.Is(err, context.Canceled) {
		n.Error = printable.Short(err.Error(), 200)
	}
}

// seen keeps the status of an answer.
type seen struct {
	http.ResponseWriter
	status int
}

func (w *seen) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *seen) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach deadlines and Flush.
func (w *seen) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// observe counts and logs what was answered.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := &record{Time: time.Now(), ID: newID(false)[5:], Client: r.RemoteAddr, Method: r.Method, Path: printable.Short(r.URL.Path, 100)}
		if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
			n.Client = host
		}
		w.Header().Set("X-Request-Id", n.ID)
		answer := &seen{ResponseWriter: w}
		defer func() {
			took := time.Since(n.Time)
			if n.Status = answer.status; n.Status == 0 {
				n.Status = statusLeft
			}
			n.MS = milliseconds(took)
			s.metrics.request(r.URL.Path, n.Status, took.Seconds())
			s.log.write(n)
		}()
		next.ServeHTTP(answer, r.WithContext(context.WithValue(r.Context(), recordKey{}, n)))
	})
}

// write adds a line. A log that cannot be written is reported once, and stops no request.
func (l *Log) write(n *record) {
	if l == nil {
		return
	}
	line, err := json.Marshal(n)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		_, err = l.w.Write(append(line, '\n'))
	}
	if err != nil && !l.failing {
		log.Printf("the request log cannot be written: %v", err)
	}
	l.failing = err != nil
}
