package suite

import (
	"errors"
	"fmt"
	"strings"

	"bitnet/data/tokenizer"
)

// request asks how likely a continuation is after a context, as tokens.
type request struct {
	context, continuation []uint32
}

// inputs are the tokens that a model with a context of most tokens sees: the last
// token is only predicted, and what is too long loses its beginning.
func (r request) inputs(most int) []uint32 {
	all := append(append(make([]uint32, 0, len(r.context)+len(r.continuation)), r.context...), r.continuation...)
	return all[max(0, len(all)-most-1) : len(all)-1]
}

// encoder makes tokens of text as lm-eval does with a tokenizer of transformers.
type encoder struct {
	tok  *tokenizer.Tokenizer
	most int // tokens of the model's context
}

// text gives the tokens of a text after those that the tokenizer puts before every
// text; a text that begins with such a token itself does not get it twice.
func (e encoder) text(text string) ([]uint32, error) {
	before, _ := e.tok.Template()
	if id, ok := e.prefix(); ok {
		if name, _ := e.tok.Token(id); name != "" && strings.HasPrefix(text, name) {
			before = nil
		}
	}
	return e.tok.Append(append([]uint32(nil), before...), text)
}

// prefix is the token that stands for an empty context: the one that begins a text,
// or else the one that ends it.
func (e encoder) prefix() (uint32, bool) {
	if id, ok := e.tok.BOS(); ok {
		return id, true
	}
	return e.tok.EOS()
}

// pair makes a request of a context and a continuation. Spaces at the end of the
// context belong to the continuation. The tokens of both together are cut where
// those of the context alone end.
func (e encoder) pair(context, continuation string) (request, error) {
	if context == "" {
		return e.alone(continuation)
	}
	kept := strings.TrimRightFunc(context, isSpace)
	context, continuation = kept, context[len(kept):]+continuation
	whole, err := e.text(context + continuation)
	if err != nil {
		return request{}, err
	}
	before, err := e.text(context)
	if err != nil {
		return request{}, err
	}
	if len(before) == 0 {
		return request{}, errors.New("its context has no tokens")
	}
	if len(whole) <= len(before) {
		return request{}, fmt.Errorf("the continuation %q has no tokens of its own after its context", continuation)
	}
	return e.check(request{before, whole[len(before):]})
}

// alone is a request without a context.
func (e encoder) alone(continuation string) (request, error) {
	ids, err := e.tok.Append(nil, continuation)
	if err != nil {
		return request{}, err
	}
	prefix, ok := e.prefix()
	switch {
	case ok && len(ids) > 0 && ids[0] != prefix:
		return e.check(request{[]uint32{prefix}, ids})
	case len(ids) > 1:
		return e.check(request{ids[:1], ids[1:]})
	}
	return request{}, fmt.Errorf("the continuation %q has no token that follows another", continuation)
}

func (e encoder) check(r request) (request, error) {
	if len(r.continuation) > e.most {
		return r, fmt.Errorf("a continuation of %d tokens does not fit the model's context of %d", len(r.continuation), e.most)
	}
	return r, nil
}

// requests are those of a question, one for each continuation.
func (e encoder) requests(q question) ([]request, error) {
	var out []request
	for _, c := range q.Continuations {
		r, err := e.pair(q.Context, c)
		if err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	return out, nil
}
