package serve

import (
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"time"

	"bitnet/bitnet/infer"
	"bitnet/data/tokenizer"
)

// answer writes one request's texts in the API's form, whole or piece by piece.
// The texts are written at once, each under its index.
type answer struct {
	w       http.ResponseWriter
	chat    bool
	id      string
	model   string
	created int64
	usage   bool // a stream ends with the numbers of tokens
	dropped int  // messages that did not fit the context
	write   time.Duration
	tok     *tokenizer.Tokenizer

	mu      sync.Mutex // one event at a time
	streams bool
}

// text is one of the texts of an answer.
type text struct {
	index  int
	job    infer.BatchRequest
	echo   string          // the prompt, if it is repeated
	shown  []infer.LogProb // of the prompt, if it is repeated
	at     int             // characters so far, for the offsets of tokens
	copy   bool            // of another text of the same prompt
	result infer.Completion
}

func (a *answer) frame(object string, choices []any) map[string]any {
	return map[string]any{"id": a.id, "object": object, "created": a.created, "model": a.model, "choices": choices}
}

// tokens adds up the tokens of all texts. The prompt of several texts counts once.
func (a *answer) tokens(all []*text) map[string]any {
	prompt, written, cached := 0, 0, 0
	for _, t := range all {
		written += len(t.result.Tokens)
		if !t.copy {
			prompt += t.result.PromptTokens
			cached += t.result.Cached
		}
	}
	out := map[string]any{
		"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written,
		"prompt_tokens_details": map[string]any{"cached_tokens": cached},
	}
	if a.dropped > 0 {
		out["dropped_messages"] = a.dropped
	}
	return out
}

func (a *answer) whole(all []*text) map[string]any {
	object := "text_completion"
	if a.chat {
		object = "chat.completion"
	}
	var choices []any
	for _, t := range all {
		c := t.result
		choice := map[string]any{"index": t.index, "finish_reason": c.Reason, "logprobs": nil}
		if c.LogProbs != nil || t.shown != nil {
			choice["logprobs"] = a.logProbs(t, append(t.shown, c.LogProbs...))
		}
		if a.chat {
			choice["message"] = map[string]any{"role": "assistant", "content": c.Text, "refusal": nil}
		} else {
			choice["text"] = t.echo + c.Text
		}
		choices = append(choices, choice)
	}
	out := a.frame(object, choices)
	out["usage"] = a.tokens(all)
	return out
}

// logProbs has the form of the call: lists for a completion, objects for a chat.
func (a *answer) logProbs(t *text, list []infer.LogProb) any {
	if a.chat {
		return chatLogProbs(a.tok, list)
	}
	// Only the very first token of a text stands after nothing.
	out, at := textLogProbs(a.tok, list, t.at, t.at == 0 && len(t.shown) == len(t.job.Tokens) && len(t.shown) > 0)
	t.at = at
	return out
}

// begin starts a stream of server-sent events.
func (a *answer) begin(all []*text) {
	a.streams = true
	h := a.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	a.deadline()
	a.w.WriteHeader(http.StatusOK)
	for _, t := range all {
		if a.chat {
			_ = a.event(a.chunk(t, map[string]any{"role": "assistant", "content": ""}, "", nil, nil))
		}
	}
}

// chunk is a piece of a stream; reason is nil except at its end.
func (a *answer) chunk(t *text, delta map[string]any, words string, reason, logProbs any) map[string]any {
	choice := map[string]any{"index": t.index, "finish_reason": reason, "logprobs": logProbs}
	if a.chat {
		choice["delta"] = delta
		return a.frame("chat.completion.chunk", []any{choice})
	}
	choice["text"] = words
	return a.frame("text_completion", []any{choice})
}

func (a *answer) piece(t *text, p infer.Piece) error {
	var logProbs any
	if len(p.LogProbs) > 0 {
		logProbs = a.logProbs(t, p.LogProbs)
	}
	return a.event(a.chunk(t, map[string]any{"content": p.Text}, p.Text, nil, logProbs))
}

// finish ends one text of a stream.
func (a *answer) finish(t *text) error {
	return a.event(a.chunk(t, map[string]any{}, "", t.result.Reason, nil))
}

// end ends a stream.
func (a *answer) end(all []*text) {
	if a.usage {
		last := a.frame("text_completion", []any{})
		if a.chat {
			last["object"] = "chat.completion.chunk"
		}
		last["usage"] = a.tokens(all)
		_ = a.event(last)
	}
	a.deadline()
	_, _ = a.w.Write([]byte("data: [DONE]\n\n"))
}

// fail ends an answer that cannot be finished. A client that is gone gets
// nothing; a stream is ended with an error, so that it is not taken for whole.
func (a *answer) fail(r *http.Request, err error) {
	switch {
	case r.Context().Err() != nil:
	case a.streams:
		_ = a.event(map[string]any{"error": map[string]any{"message": err.Error(), "type": "server_error"}})
	case errors.Is(err, errStopping):
		stopping(a.w)
	default:
		fail(a.w, http.StatusInternalServerError, "server_error", err.Error())
	}
}

// deadline gives the client its time to take the next piece. A connection that
// knows no deadlines, as in a test, waits for as long as it takes.
func (a *answer) deadline() { setDeadline(a.w, a.write) }

func setDeadline(w http.ResponseWriter, d time.Duration) {
	if d > 0 {
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d))
	}
}

func (a *answer) event(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.deadline()
	if _, err := a.w.Write(append(append([]byte("data: "), b...), "\n\n"...)); err != nil {
		return err
	}
	return http.NewResponseController(a.w).Flush()
}

func (s *Server) reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	setDeadline(w, s.limits.Write)
	_ = json.NewEncoder(w).Encode(v) // a client that is gone needs no answer
}

// busy refuses a request that may be tried again.
func busy(w http.ResponseWriter, why string) {
	w.Header().Set("Retry-After", "1")
	fail(w, http.StatusTooManyRequests, "busy", why)
}

func stopping(w http.ResponseWriter) {
	w.Header().Set("Retry-After", "10")
	fail(w, http.StatusServiceUnavailable, "stopping", errStopping.Error())
}

func fail(w http.ResponseWriter, status int, code, why string) {
	w.Header().Set("Content-Type", "application/json")
	setDeadline(w, 10*time.Second)
	w.WriteHeader(status)
	kind := "invalid_request_error"
	if status >= 500 {
		kind = "server_error"
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"message": why, "type": kind, "code": code, "param": nil}})
}
