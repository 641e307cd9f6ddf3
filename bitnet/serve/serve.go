// Package serve answers requests in the form of OpenAI's API with one model:
// GET /v1/models, POST /v1/completions and POST /v1/chat/completions.
package serve

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"strings"
	"time"

	"bitnet/bitnet/infer"
)

// Limits keep one client from taking everything.
type Limits struct {
	Body      int64         // bytes of a request
	Queue     int           // requests that wait at once; more are refused
	MaxTokens int           // of an answer, and what is written if a request says nothing
	Timeout   time.Duration // of an answer, from its first step
}

// DefaultLimits suit a model on one's own machine.
func DefaultLimits() Limits { return Limits{1 << 20, 16, 1024, 10 * time.Minute} }

// Server serves one model; requests are answered one after another.
type Server struct {
	model   *infer.Model
	session *infer.Session
	name    string
	format  infer.ChatFormat
	limits  Limits
	started time.Time
	hosts   map[string]bool // that the Host header may name; nil for any
	turn    chan struct{}   // holds one token: the right to use the session
	waiting chan struct{}
}

// New makes a server for a model under a name. hosts are what requests may
// address it as, so that a web page cannot reach it under a name of its own;
// nil allows all.
func New(m *infer.Model, s *infer.Session, name string, f infer.ChatFormat, l Limits, hosts []string) *Server {
	v := &Server{model: m, session: s, name: name, format: f, limits: l, started: time.Now(),
		turn: make(chan struct{}, 1), waiting: make(chan struct{}, l.Queue)}
	if hosts != nil {
		v.hosts = map[string]bool{}
		for _, h := range hosts {
			v.hosts[strings.ToLower(h)] = true
		}
	}
	return v
}

// Handler is the API.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v1/models", func(w http.ResponseWriter, r *http.Request) {
		reply(w, map[string]any{"object": "list", "data": []any{s.describe()}})
	})
	mux.HandleFunc("GET /v1/models/{name...}", func(w http.ResponseWriter, r *http.Request) {
		if r.PathValue("name") != s.name {
			fail(w, http.StatusNotFound, "model_not_found", fmt.Sprintf("the model here is %q", s.name))
			return
		}
		reply(w, s.describe())
	})
	mux.HandleFunc("POST /v1/completions", func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, false) })
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) { s.answer(w, r, true) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fail(w, http.StatusNotFound, "not_found", "there are GET /v1/models, POST /v1/completions and POST /v1/chat/completions")
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host := r.Host
		if h, _, err := net.SplitHostPort(host); err == nil {
			host = h
		}
		if s.hosts != nil && !s.hosts[strings.ToLower(strings.Trim(host, "[]"))] {
			fail(w, http.StatusForbidden, "host", "this address is not one that the server was started for")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

func (s *Server) describe() map[string]any {
	return map[string]any{"id": s.name, "object": "model", "created": s.started.Unix(), "owned_by": "bitnet"}
}

// request is what the two calls have in common; what is not known is ignored,
// as that API's servers do.
type request struct {
	Model               string          `json:"model"`
	Prompt              json.RawMessage `json:"prompt"`
	Messages            []message       `json:"messages"`
	MaxTokens           *int            `json:"max_tokens"`
	MaxCompletionTokens *int            `json:"max_completion_tokens"`
	Temperature         *float64        `json:"temperature"`
	TopP                *float64        `json:"top_p"`
	TopK                *int            `json:"top_k"`
	MinP                *float64        `json:"min_p"`
	RepetitionPenalty   *float64        `json:"repetition_penalty"`
	Seed                *int64          `json:"seed"`
	Stop                json.RawMessage `json:"stop"`
	N                   *int            `json:"n"`
	Stream              bool            `json:"stream"`
	StreamOptions       struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
}

type message struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

// text is a string, or the text parts of a list.
func (m message) text() (string, error) {
	var s string
	if json.Unmarshal(m.Content, &s) == nil {
		return s, nil
	}
	var parts []struct{ Type, Text string }
	if err := json.Unmarshal(m.Content, &parts); err != nil {
		return "", errors.New("a message's content must be text")
	}
	for _, p := range parts {
		if p.Type != "text" {
			return "", fmt.Errorf("this model reads text, not %q", p.Type)
		}
		s += p.Text
	}
	return s, nil
}

// make turns a request into one for the session.
func (s *Server) make(q *request, chat bool) (infer.Request, error) {
	out := infer.Request{Limit: s.limits.MaxTokens, Sampling: infer.Sampling{Temperature: 1, TopP: 1, RepetitionPenalty: 1, Seed: mathrand.Uint64()}}
	if q.N != nil && *q.N != 1 {
		return out, errors.New("n must be 1")
	}
	if q.Temperature != nil {
		out.Sampling.Temperature = *q.Temperature
	}
	if q.TopP != nil {
		out.Sampling.TopP = *q.TopP
	}
	if q.TopK != nil {
		out.Sampling.TopK = max(*q.TopK, 0)
	}
	if q.MinP != nil {
		out.Sampling.MinP = *q.MinP
	}
	if q.RepetitionPenalty != nil {
		out.Sampling.RepetitionPenalty = *q.RepetitionPenalty
	}
	if q.Seed != nil {
		out.Sampling.Seed = uint64(*q.Seed)
	}
	if err := out.Sampling.Check(); err != nil {
		return out, err
	}
	for _, n := range []*int{q.MaxTokens, q.MaxCompletionTokens} {
		if n != nil {
			if *n < 1 {
				return out, fmt.Errorf("max_tokens of %d: want 1 or more", *n)
			}
			out.Limit = min(*n, s.limits.MaxTokens)
		}
	}
	var err error
	if out.Stop, err = stopStrings(q.Stop); err != nil {
		return out, err
	}
	if !chat {
		var prompt string
		if err := json.Unmarshal(q.Prompt, &prompt); err != nil {
			return out, errors.New("prompt must be a string")
		}
		out.Tokens, err = s.model.Prompt(prompt)
		return out, err
	}
	if len(q.Messages) == 0 {
		return out, errors.New("messages must hold at least one message")
	}
	var talk []infer.Message
	for _, m := range q.Messages {
		switch m.Role {
		case "system", "user", "assistant":
		case "developer":
			m.Role = "system"
		default:
			return out, fmt.Errorf("a message's role is %q: it must be system, user or assistant", m.Role)
		}
		text, err := m.text()
		if err != nil {
			return out, err
		}
		talk = append(talk, infer.Message{Role: m.Role, Content: text})
	}
	out.Stop = append(out.Stop, s.format.Stop...)
	out.Tokens, err = s.format.Tokens(s.model.Tokenizer, talk)
	return out, err
}

func stopStrings(raw json.RawMessage) ([]string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return nil, nil
	}
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}, nil
	}
	var many []string
	if err := json.Unmarshal(raw, &many); err != nil || len(many) > 16 {
		return nil, errors.New("stop must be a string or at most 16 of them")
	}
	return many, nil
}

// answer runs one request.
func (s *Server) answer(w http.ResponseWriter, r *http.Request, chat bool) {
	var q request
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.limits.Body))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		fail(w, http.StatusRequestEntityTooLarge, "too_large", fmt.Sprintf("a request may have %d bytes", s.limits.Body))
		return
	case err != nil:
		return // the client is gone
	}
	if err := json.Unmarshal(body, &q); err != nil {
		fail(w, http.StatusBadRequest, "invalid_json", "the request is no JSON of the right form: "+err.Error())
		return
	}
	if q.Model != "" && q.Model != s.name {
		fail(w, http.StatusNotFound, "model_not_found", fmt.Sprintf("the model here is %q", s.name))
		return
	}
	job, err := s.make(&q, chat)
	if err == nil && len(job.Tokens) > s.session.Context() {
		err = fmt.Errorf("the prompt has %d tokens, the context %d", len(job.Tokens), s.session.Context())
	}
	if err != nil {
		fail(w, http.StatusBadRequest, "invalid_request", err.Error())
		return
	}
	select {
	case s.waiting <- struct{}{}:
		defer func() { <-s.waiting }()
	default:
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusTooManyRequests, "busy", "too many requests wait already: try again")
		return
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-r.Context().Done():
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), s.limits.Timeout)
	defer cancel()
	a := &answer{w: w, chat: chat, model: s.name, created: time.Now().Unix(), usage: q.StreamOptions.IncludeUsage}
	a.id = newID(chat)
	if q.Stream {
		a.begin()
		done, err := s.session.Complete(ctx, job, a.piece)
		a.end(done, err)
		return
	}
	done, err := s.session.Complete(ctx, job, nil)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		done.Reason = "length" // what there is after the time that an answer may take
	case r.Context().Err() != nil:
		return
	case err != nil:
		fail(w, http.StatusInternalServerError, "server_error", err.Error())
		return
	}
	reply(w, a.whole(done))
}

func newID(chat bool) string {
	var b [12]byte
	_, _ = rand.Read(b[:])
	if chat {
		return "chatcmpl-" + hex.EncodeToString(b[:])
	}
	return "cmpl-" + hex.EncodeToString(b[:])
}
