package serve

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"bitnet/bitnet/infer"
	"bitnet/data/tokenizer"
)

// tokenText is a token as clients compare it: its text, or its bytes where they
// are no text alone, such as the half of a character.
func tokenText(tok *tokenizer.Tokenizer, id uint32) string {
	raw := tok.Decode([]uint32{id})
	if utf8.ValidString(raw) {
		return raw
	}
	var b strings.Builder
	b.WriteString("bytes:")
	for _, c := range []byte(raw) {
		fmt.Fprintf(&b, `\x%02x`, c)
	}
	return b.String()
}

// chatLogProbs is the form of a chat: an object for each token.
func chatLogProbs(tok *tokenizer.Tokenizer, list []infer.LogProb) any {
	object := func(p infer.LogProb) map[string]any {
		raw := tok.Decode([]uint32{p.Token})
		bytes := make([]int, len(raw))
		for i := range len(raw) {
			bytes[i] = int(raw[i])
		}
		return map[string]any{"token": tokenText(tok, p.Token), "logprob": p.LogProb, "bytes": bytes}
	}
	content := []any{}
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

// textLogProbs is the form of a completion: a list for each kind of value. At is
// where the first token begins in the text, in characters. A token without Top that
// begins a text has no log-probability: null.
func textLogProbs(tok *tokenizer.Tokenizer, list []infer.LogProb, at int, first bool) (any, int) {
	tokens, values, tops, offsets := []string{}, []any{}, []any{}, []int{}
	for i, p := range list {
		text := tokenText(tok, p.Token)
		tokens, offsets = append(tokens, text), append(offsets, at)
		at += utf8.RuneCountInString(tok.Decode([]uint32{p.Token}))
		if first && i == 0 {
			values, tops = append(values, nil), append(tops, nil)
			continue
		}
		top := map[string]float64{}
		for _, q := range p.Top {
			key := tokenText(tok, q.Token)
			if _, taken := top[key]; !taken { // the likelier of two tokens of one text
				top[key] = q.LogProb
			}
		}
		values, tops = append(values, p.LogProb), append(tops, top)
	}
	return map[string]any{"tokens": tokens, "token_logprobs": values, "top_logprobs": tops, "text_offset": offsets}, at
}
