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
	"time"

	"golang.org/x/sync/errgroup"

	"bitnet/bitnet/infer"
)

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
	prompts := []prompt{{}}
	if err == nil && !chat {
		prompts, err = q.prompts()
	}
	if err != nil {
		fail(w, http.StatusBadRequest, "invalid_request", err.Error())
		return
	}
	if !s.enter(w) {
		return
	}
	defer func() { <-s.places }()
	a := &answer{
		w: w, chat: chat, model: s.name, created: time.Now().Unix(), usage: q.StreamOptions.IncludeUsage, id: newID(chat),
		write: s.limits.Write, tok: s.model.Tokenizer,
	}
	texts, err := s.texts(&q, a, prompts, settings)
	if err != nil {
		code := "invalid_request"
		if errors.As(err, &tooLong{}) {
			code = "context_length_exceeded"
		}
		fail(w, http.StatusBadRequest, code, err.Error())
		return
	}
	s.write(r, a, &q, texts)
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

// enter takes a place among the requests that are answered or wait, which
// the caller gives back; it reports false when the answer is given.
func (s *Server) enter(w http.ResponseWriter) bool {
	select {
	case <-s.stopping:
		stopping(w)
		return false
	default:
	}
	select {
	case s.places <- struct{}{}:
		return true
	default:
		busy(w, "too many requests wait already: try again")
		return false
	}
}

// texts are what a request asks for: each prompt, as often as it is to be answered.
func (s *Server) texts(q *request, a *answer, prompts []prompt, settings infer.Request) ([]*text, error) {
	var out []*text
	for _, p := range prompts {
		t := text{job: infer.BatchRequest{Request: settings, Time: s.limits.Timeout, PromptLogProbs: q.Echo && settings.LogProbs}}
		var err error
		if a.chat {
			t.job.Tokens, a.dropped, err = s.chatTokens(q, settings.Limit)
		} else {
			t.job.Tokens, err = s.tokens(p)
		}
		if err != nil {
			return nil, err
		}
		if q.Echo {
			t.echo = s.model.Tokenizer.Decode(withoutBOS(s, t.job.Tokens))
		}
		for i := range q.copies() {
			c := t
			c.index, c.copy = len(out), i > 0
			c.job.Sampling.Seed += uint64(i)
			out = append(out, &c)
		}
	}
	return out, nil
}

// write writes the texts of a request, as many at once as the batch takes.
func (s *Server) write(r *http.Request, a *answer, q *request, texts []*text) {
	ctx, cut := context.WithCancelCause(r.Context())
	defer cut(nil)
	defer context.AfterFunc(s.cut, func() { cut(errStopping) })()
	note := noteOf(r)
	note.begin(q, texts)
	if q.Stream {
		a.begin(texts)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.batch.AtOnce())
	for _, t := range texts {
		group.Go(func() error { return s.writeText(ctx, a, q, t) })
	}
	err := group.Wait()
	note.end(texts, s)
	s.metrics.texts(texts)
	switch {
	case err != nil:
		note.fail(err)
		a.fail(r, err)
	case q.Stream:
		a.end(texts)
	default:
		s.reply(a.w, a.whole(texts))
	}
}

// writeText writes one text. It has a goroutine of its own: a fault must not end the
// server.
func (s *Server) writeText(ctx context.Context, a *answer, q *request, t *text) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.Printf("a request failed: %v\n%s", p, debug.Stack())
			err = errors.New("the request failed inside of the server")
		}
	}()
	var emit func(infer.Piece) error
	if q.Stream {
		emit = func(p infer.Piece) error { return a.piece(t, p) }
		if t.echo != "" {
			if err := a.piece(t, infer.Piece{Text: t.echo}); err != nil {
				return err
			}
		}
	}
	t.result, err = s.batch.Complete(ctx, t.job, emit)
	if err != nil {
		return err
	}
	if t.job.PromptLogProbs {
		t.shown = t.result.Prompt[len(t.job.Tokens)-len(s.sent(q, t)):]
	}
	if q.Stream {
		return a.finish(t)
	}
	return nil
}

// sent are the tokens of a prompt as it was sent: without the token that the server
// put before a text.
func (s *Server) sent(q *request, t *text) []uint32 {
	if q.isText() {
		return withoutBOS(s, t.job.Tokens)
	}
	return t.job.Tokens
}

// withoutBOS are tokens without the one that begins a text.
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
