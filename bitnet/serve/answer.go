package serve

import (
	"encoding/json"
	"net/http"

	"bitnet/bitnet/infer"
)

// answer writes one completion in the API's form, whole or piece by piece.
type answer struct {
	w       http.ResponseWriter
	chat    bool
	id      string
	model   string
	created int64
	usage   bool // a stream ends with the numbers of tokens
}

func (a *answer) frame(object string, choices []any) map[string]any {
	return map[string]any{"id": a.id, "object": object, "created": a.created, "model": a.model, "choices": choices}
}

func usage(c infer.Completion) map[string]any {
	return map[string]any{
		"prompt_tokens": c.PromptTokens, "completion_tokens": len(c.Tokens), "total_tokens": c.PromptTokens + len(c.Tokens),
		"prompt_tokens_details": map[string]any{"cached_tokens": c.Cached},
	}
}

func (a *answer) whole(c infer.Completion) map[string]any {
	choice := map[string]any{"index": 0, "finish_reason": c.Reason, "logprobs": nil}
	object := "text_completion"
	if a.chat {
		object = "chat.completion"
		choice["message"] = map[string]any{"role": "assistant", "content": c.Text}
	} else {
		choice["text"] = c.Text
	}
	out := a.frame(object, []any{choice})
	out["usage"] = usage(c)
	return out
}

// begin starts a stream of server-sent events.
func (a *answer) begin() {
	h := a.w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-cache")
	a.w.WriteHeader(http.StatusOK)
	if a.chat {
		_ = a.event(a.chunk(map[string]any{"role": "assistant", "content": ""}, "", nil))
	}
}

// chunk is a piece of a stream; reason is nil but at its end.
func (a *answer) chunk(delta map[string]any, text string, reason any) map[string]any {
	choice := map[string]any{"index": 0, "finish_reason": reason, "logprobs": nil}
	if a.chat {
		choice["delta"] = delta
		return a.frame("chat.completion.chunk", []any{choice})
	}
	choice["text"] = text
	return a.frame("text_completion", []any{choice})
}

func (a *answer) piece(text string) error {
	return a.event(a.chunk(map[string]any{"content": text}, text, nil))
}

func (a *answer) end(c infer.Completion, err error) {
	if err != nil && len(c.Tokens) == 0 {
		_ = a.event(map[string]any{"error": map[string]any{"message": err.Error(), "type": "server_error"}})
		return
	}
	_ = a.event(a.chunk(map[string]any{}, "", c.Reason))
	if a.usage {
		last := a.chunk(nil, "", nil)
		last["choices"], last["usage"] = []any{}, usage(c)
		_ = a.event(last)
	}
	_, _ = a.w.Write([]byte("data: [DONE]\n\n"))
}

func (a *answer) event(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if _, err := a.w.Write(append(append([]byte("data: "), b...), "\n\n"...)); err != nil {
		return err
	}
	return http.NewResponseController(a.w).Flush()
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // a client that is gone needs no answer
}

func fail(w http.ResponseWriter, status int, code, why string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	kind := "invalid_request_error"
	if status >= 500 {
		kind = "server_error"
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"error": map[string]any{"message": why, "type": kind, "code": code, "param": nil}})
}
