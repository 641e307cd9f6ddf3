// Package serve answers requests in the form of OpenAI's API with one model:
// GET /v1/models, POST /v1/completions and POST /v1/chat/completions. At / it has a
// page to talk with the model, at /health and /metrics what those who run it ask for.
//
// Several texts are written at once (infer.Batch); requests beyond those wait in a
// queue of a bounded length, and what they hold in memory is bounded too. No request
// can end the server: a client that leaves, reads nothing or sends too much loses
// its place.
package serve

import (
	"context"
	"errors"
	"fmt"
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
	Drain     time.Duration // for the answers under way when the server stops
}

// DefaultLimits suit a model on one's own machine.
func DefaultLimits() Limits {
	return Limits{Body: 1 << 20, Held: 16 << 20, Queue: 16, MaxTokens: 1024, Timeout: 10 * time.Minute, Write: 30 * time.Second, Drain: 10 * time.Second}
}

// Server serves one model.
type Server struct {
	model   *infer.Model
	batch   *infer.Batch
	name    string
	format  infer.ChatFormat
	limits  Limits
	access  Access
	context int // tokens of a text, at most
	longest int // bytes of a token, at most
	started time.Time
	held    *semaphore.Weighted
	places  chan struct{} // of requests that wait or are answered
	metrics *metrics
	log     *Log

	stopping chan struct{} // closed when no more requests are taken
	stop     sync.Once
	cut      context.Context // ends when the answers under way have to
	cutNow   context.CancelCauseFunc
}

// errStopping ends the answers under way when a server stops.
var errStopping = errors.New("the server is stopping")

// New makes a server for a model under a name. It logs requests to l, if that is
// not nil.
func New(m *infer.Model, b *infer.Batch, name string, f infer.ChatFormat, limits Limits, a Access, l *Log) *Server {
	v := &Server{
		model: m, batch: b, name: name, format: f, limits: limits, access: a, log: l, started: time.Now(), context: b.Context(), longest: 1, metrics: newMetrics(),
		held: semaphore.NewWeighted(limits.Held), places: make(chan struct{}, b.AtOnce()+limits.Queue), stopping: make(chan struct{}),
	}
	for id := range uint32(m.Tokenizer.Size()) {
		token, _ := m.Tokenizer.Token(id)
		v.longest = max(v.longest, len(token))
	}
	v.cut, v.cutNow = context.WithCancelCause(context.Background())
	return v
}

// Stop takes no more requests: those that wait are refused, and the answers under
// way are cut after the time to drain. It returns at once.
func (s *Server) Stop() {
	s.stop.Do(func() {
		close(s.stopping)
		s.batch.Refuse(errStopping)
		time.AfterFunc(s.limits.Drain, func() { s.cutNow(errStopping) })
	})
}

// Handler is the API and the page.
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
	mux.HandleFunc("GET /health", s.health)
	mux.HandleFunc("GET /metrics", s.showMetrics)
	for path, f := range pageFiles {
		mux.Handle("GET "+path, f)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, "not_found", "there are GET /v1/models, POST /v1/completions and POST /v1/chat/completions; / has a page, /health and /metrics say how the server is")
	})
	return s.observe(s.survive(s.access.guard(mux)))
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

// describe is the model in the API's form, with what else a page wants to know.
func (s *Server) describe() map[string]any {
	return map[string]any{
		"id": s.name, "object": "model", "created": s.started.Unix(), "owned_by": "bitnet",
		"context_length": s.context, "max_tokens": s.limits.MaxTokens, "chat_format": s.format.Name,
	}
}

// health says whether the server takes requests.
func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	select {
	case <-s.stopping:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(`{"status":"stopping"}` + "\n"))
	default:
		s.reply(w, map[string]any{"status": "ok"})
	}
}
