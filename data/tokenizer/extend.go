package tokenizer

import (
	"fmt"
	"slices"
)

// WithChat gives a tokenizer that encodes text as t does and has a chat template,
// the special tokens that the template needs (those that t lacks get the next
// ids), and end, one of them, as the token that ends a text.
func (t *Tokenizer) WithChat(template string, specials []string, end string) (*Tokenizer, error) {
	p := parts{
		tokens: slices.Clone(t.tokens), model: t.model, merges: t.merges, added: slices.Clone(t.added), split: t.split,
		ignoreMerges: t.ignoreMerges, unk: t.unk, fuseUnk: t.fuseUnk, form: t.form,
	}
	p.form.chatTemplate = template
	for _, name := range specials {
		id, there := t.ids[name]
		if there && t.kinds[id] != Control {
			return nil, fmt.Errorf("tokenizer: %s is an ordinary token of this vocabulary, and a chat template needs it as a special one: use a model with a chat template", name)
		}
		if !there {
			p.addSpecials(name)
		}
	}
	out := build(p)
	out.prefix, out.suffix = t.prefix, t.suffix
	out.bos, out.eos, out.pad = t.bos, out.firstSpecial(end), t.pad
	if out.eos == none {
		return nil, fmt.Errorf("tokenizer: %s is not among the special tokens of the chat template", end)
	}
	return out, nil
}

// Extends reports whether t has the tokens of base with the same ids, and may
// have more after them: a model of base understands the first of t's ids.
func (t *Tokenizer) Extends(base *Tokenizer) bool {
	return len(t.tokens) >= len(base.tokens) && slices.Equal(t.tokens[:len(base.tokens)], base.tokens) && slices.Equal(t.merges, base.merges)
}
