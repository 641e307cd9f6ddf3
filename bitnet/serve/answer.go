package serve

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"bitnet/bitnet/infer"
	"bitnet/data/tokenizer"
)

// answer writes one request's texts in the API's form, whole or piece by piece.
type answer struct {
	w       http.ResponseWriter
	chat    bool
	id      string
	model   string
	created int64
	usage   bool // a stream ends with the numbers of tokens
	write   time.Duration
	tok     *tokenizer.Tokenizer
	index   int // of the text that is being written
	streams bool
}

func (a *answer) frame(object string, choices []any) map[string]any {
	return map[string]any{"id": a.id, "object": object, "created": a.created, "model": a.model, "choices": choices}
}

// usage adds up the tokens of all texts.
func usage(all []infer.Completion) map[string]any {
	prompt, written, cached := 0, 0, 0
	for _, c := range all {
		prompt += c.PromptTokens
		written += len(c.Tokens)
		cached += c.Cached
	}
	return map[string]any{
		"prompt_tokens": prompt, "completion_tokens": written, "total_tokens": prompt + written,
		"prompt_tokens_details": map[string]any{"cached_tokens": cached},
	}
}

func (a *answer) whole(all []infer.Completion) map[string]any {
	object := "text_completion"
	if a.chat {
		object = "chat.completion"
	}
	var choices []any
	for i, c := range all {
		choice := map[string]any{"index": i, "finish_reason": c.Reason, "logprobs": a.logProbs(c.LogProbs)}
		if a.chat {
			choice["message"] = map[string]any{"role": "assistant", "content": c.Text}
		} else {
			choice["text"] = c.Text
		}
		choices = append(choices, choice)
	}
	out := a.frame(object, choices)
	out["usage"] = usage(all)
	return out
}

// logProbs has the form of the call: lists for a completion, objects for a chat.
func (a *answer) logProbs(list []infer.LogProb) any {
	if list == nil {
		return nil
	}
	text := func(id uint32) string { return a.tok.Decode([]uint32{id}) }
	if a.chat {
		object := func(p infer.LogProb) map[string]any {
			t := text(p.Token)
			bytes := make([]int, len(t))
			for i := range len(t) {
				bytes[i] = int(t[i])
			}
			return map[string]any{"token": t, "logprob": p.LogProb, "bytes": bytes}
		}
		var content []any
		for _, p := range list {
			one, top := object(p), []any{}
			for _, q := range p.Top {
				top = append(top, object(q))
			}
			one["top_logprobs"] = top
			content = append(content, one)
		}
		return map[string]any{"content": content}
	}
	var tokens []string
	var values []float64
	var tops []map[string]float64
	var offsets []int
	at := 0
	for _, p := range list {
		t := text(p.Token)
		tokens, values, offsets = append(tokens, t), append(values, p.LogProb), append(offsets, at)
		at += len(t)
		top := map[string]float64{}
		for _, q := range p.Top {
			top[text(q.Token)] = q.LogProb
		}
		tops = append(tops, top)
	}
	return map[string]any{"tokens": tokens, "token_logprobs": values, "top_logprobs": tops, "text_offset": offsets}
}

// begin starts a stream of server-sent events for n texts.
func (a *answer) begin(n int) {
	a.streams = true
	h := a.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	a.deadline()
	a.w.WriteHeader(http.StatusOK)
	if a.chat {
		for i := range n {
			a.index = i
			_ = a.event(a.chunk(map[string]any{"role": "assistant", "content": ""}, "", nil, nil))
		}
	}
}

// chunk is a piece of a stream; reason is nil except at its end.
func (a *answer) chunk(delta map[string]any, text string, reason, logProbs any) map[string]any {
	choice := map[string]any{"index": a.index, "finish_reason": reason, "logprobs": logProbs}
	if a.chat {
		choice["delta"] = delta
		return a.frame("chat.completion.chunk", []any{choice})
	}
	choice["text"] = text
	return a.frame("text_completion", []any{choice})
}

func (a *answer) piece(text string) error {
	return a.event(a.chunk(map[string]any{"content": text}, text, nil, nil))
}

// finish ends one text of a stream.
func (a *answer) finish(c infer.Completion) error {
	return a.event(a.chunk(map[string]any{}, "", c.Reason, a.logProbs(c.LogProbs)))
}

// end ends a stream.
func (a *answer) end(all []infer.Completion) {
	if a.usage {
		last := a.chunk(nil, "", nil, nil)
		last["choices"], last["usage"] = []any{}, usage(all)
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
