// Package serve answers requests in the form of OpenAI's API with one model:
// GET /v1/models, POST /v1/completions and POST /v1/chat/completions.
//
// The model writes one text at a time; requests wait in a queue of a bounded
// length, and what they hold in memory is bounded too. No request can end the
// server: a client that leaves, reads nothing or sends too much loses its place.
package serve

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"runtime/debug"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"bitnet/bitnet/infer"
)

// Limits keep one client from taking everything.
type Limits struct {
	Body      int64         // bytes of a request
	Held      int64         // bytes of all requests together that wait or are answered
	Queue     int           // requests that wait at once; more are refused
	MaxTokens int           // of an answer, and what is written if a request says nothing
	Timeout   time.Duration // of an answer, from its first step
	Write     time.Duration // for a client to take a piece of an answer
	Drain     time.Duration // for the answer under way when the server stops
}

// DefaultLimits suit a model on one's own machine.
func DefaultLimits() Limits {
	return Limits{Body: 1 << 20, Held: 16 << 20, Queue: 16, MaxTokens: 1024, Timeout: 10 * time.Minute, Write: 30 * time.Second, Drain: 10 * time.Second}
}

// Server serves one model; requests are answered one after another.
type Server struct {
	model   *infer.Model
	session *infer.Session
	name    string
	format  infer.ChatFormat
	limits  Limits
	access  Access
	longest int // bytes of a token, at most
	started time.Time
	held    *semaphore.Weighted
	turn    chan struct{} // holds one token: the right to use the session
	waiting chan struct{}

	stopping chan struct{} // closed when no more requests are taken
	stop     sync.Once
	cut      context.Context // ends when the answer under way has to
	cutNow   context.CancelCauseFunc
}

// errStopping ends the answer under way when a server stops.
var errStopping = errors.New("the server is stopping")

// New makes a server for a model under a name.
func New(m *infer.Model, s *infer.Session, name string, f infer.ChatFormat, l Limits, a Access) *Server {
	v := &Server{
		model: m, session: s, name: name, format: f, limits: l, access: a, started: time.Now(), longest: 1,
		held: semaphore.NewWeighted(l.Held), turn: make(chan struct{}, 1), waiting: make(chan struct{}, l.Queue), stopping: make(chan struct{}),
	}
	for id := range uint32(m.Tokenizer.Size()) {
		token, _ := m.Tokenizer.Token(id)
		v.longest = max(v.longest, len(token))
	}
	v.cut, v.cutNow = context.WithCancelCause(context.Background())
	return v
}

// Stop takes no more requests: those that wait are refused, and the answer
// under way is cut after the time to drain. It returns at once.
func (s *Server) Stop() {
	s.stop.Do(func() {
		close(s.stopping)
		time.AfterFunc(s.limits.Drain, func() { s.cutNow(errStopping) })
	})
}

// Handler is the API.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, r *http.Request) {
		s.reply(w, map[string]any{"object": "list", "data": []any{s.describe()}})
	})
	mux.HandleFunc("GET /v1/models/{name...}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("name") != s.name {
			fail(w, http.StatusNotFound, "model_not_found", fmt.Sprintf("the model here is %q", s.name))
			return
		}
		s.reply(w, s.describe())
	})
	mux.HandleFunc("POST /v1/completions", func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, false) })
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, true) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, "not_found", "there are GET /v1/models, POST /v1/completions and POST /v1/chat/completions")
	})
	return s.survive(s.access.guard(mux))
}

// survive answers a request that panics with an error, and keeps the server.
func (s *Server) survive(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setDeadline(w, s.limits.Write) // each write begins a new one: see answer.deadline
		defer func() {
			if p := recover(); p != nil && p != http.ErrAbortHandler {
				log.Printf("a request failed: %v\n%s", p, debug.Stack())
				fail(w, http.StatusInternalServerError, "server_error", "the request failed inside of the server")
			}
		}()
		next.ServeHTTP(w, r)
	})
}

func (s *Server) describe() map[string]any {
	return map[string]any{"id": s.name, "object": "model", "created": s.started.Unix(), "owned_by": "bitnet"}
}

// answer runs one request.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, chat bool) {
	size := s.limits.Body
	if r.ContentLength >= 0 {
		size = min(size, r.ContentLength)
	}
	if !s.held.TryAcquire(size) {
		busy(w, "too many requests are being read: try again")
		return
	}
	defer s.held.Release(size)
	var q request
	if !s.read(w, r, &q) {
		return
	}
	if q.Model != "" && q.Model != s.name {
		fail(w, http.StatusNotFound, "model_not_found", fmt.Sprintf("the model here is %q", s.name))
		return
	}
	settings, err := s.settings(&q, chat)
	var prompts []prompt
	if err == nil && !chat {
		prompts, err = q.prompts()
	}
	if err != nil {
		fail(w, http.StatusBadRequest, "invalid_request", err.Error())
		return
	}
	done, ok := s.wait(w, r)
	if !ok {
		return
	}
	defer done()
	var jobs []infer.Request // one for each text
	if chat {
		prompts = []prompt{{}}
	}
	for _, p := range prompts {
		job := settings
		if chat {
			job.Tokens, err = s.chatTokens(q.Messages)
		} else {
			job.Tokens, err = s.tokens(p)
		}
		if err != nil {
			fail(w, http.StatusBadRequest, "invalid_request", err.Error())
			return
		}
		jobs = append(jobs, job)
	}
	s.write(w, r, &q, chat, jobs)
}

// read reads the body of a request; it reports false when the answer is given.
func (s *Server) read(w http.ResponseWriter, r *http.Request, q *request) bool {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.limits.Body))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		fail(w, http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("a request may have %d bytes", s.limits.Body))
		return false
	case err != nil:
		return false // the client is gone
	}
	if err := json.Unmarshal(body, q); err != nil {
		fail(w, http.StatusBadRequest, "invalid_json", "the request body is not valid JSON: "+inWords(err))
		return false
	}
	return true
}

// inWords says what is wrong with JSON without the names of Go's types.
func inWords(err error) string {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		return fmt.Sprintf("%s cannot be a %s", wrong.Field, wrong.Value)
	}
	return err.Error()
}

// wait waits for the right to use the model, which done gives back.
func (s *Server) wait(w http.ResponseWriter, r *http.Request) (done func(), ok bool) {
	select {
	case <-s.stopping:
		stopping(w)
		return nil, false
	case s.waiting <- struct{}{}:
		defer func() { <-s.waiting }()
	default:
		busy(w, "too many requests wait already: try again")
		return nil, false
	}
	select {
	case s.turn <- struct{}{}:
		select {
		case <-s.stopping: // both were ready
			<-s.turn
			stopping(w)
			return nil, false
		default:
		}
		return func() { <-s.turn }, true
	case <-s.stopping:
		stopping(w)
	case <-r.Context().Done():
	}
	return nil, false
}

// write writes the texts of a request, one after another.
func (s *Server) write(w http.ResponseWriter, r *http.Request, q *request, chat bool, jobs []infer.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), s.limits.Timeout)
	defer cancel()
	ctx, cut := context.WithCancelCause(ctx)
	defer context.AfterFunc(s.cut, func() { cut(errStopping) })()
	a := &answer{
		w: w, chat: chat, model: s.name, created: time.Now().Unix(), usage: q.StreamOptions.IncludeUsage, id: newID(chat),
		write: s.limits.Write, tok: s.model.Tokenizer,
	}
	if q.Stream {
		a.begin(len(jobs))
	}
	var all []infer.Completion
	for i, job := range jobs {
		a.index = i
		if q.Echo && q.Stream {
			if err := a.piece(s.model.Tokenizer.Decode(withoutBOS(s, job.Tokens))); err != nil {
				return
			}
		}
		var emit func(string) error
		if q.Stream {
			emit = a.piece
		}
		done, err := s.session.Complete(ctx, job, emit)
		if errors.Is(context.Cause(ctx), errStopping) {
			err = errStopping
		} else if errors.Is(err, context.DeadlineExceeded) {
			done.Reason, err = "length", nil // what there is after the time that an answer may take
		}
		if err != nil {
			a.fail(r, err)
			return
		}
		if q.Echo && !q.Stream {
			done.Text = s.model.Tokenizer.Decode(withoutBOS(s, job.Tokens)) + done.Text
		}
		all = append(all, done)
		if q.Stream {
			if err := a.finish(done); err != nil {
				return
			}
		}
	}
	if q.Stream {
		a.end(all)
		return
	}
	s.reply(w, a.whole(all))
}

// withoutBOS are the tokens of a prompt as it was sent.
func withoutBOS(s *Server, tokens []uint32) []uint32 {
	if bos, ok := s.model.Tokenizer.BOS(); ok && len(tokens) > 0 && tokens[0] == bos {
		return tokens[1:]
	}
	return tokens
}

func newID(chat bool) string {
	var b [12]byte
	_, _ = rand.Read(b[:])
	if chat {
		return "chatcmpl-" + hex.EncodeToString(b[:])
	}
	return "cmpl-" + hex.EncodeToString(b[:])
}
