package export

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"bitnet/bitnet/modelfile/gguf"
	"bitnet/data/tokenizer"
)

// ggufVocab is a tokenizer in the form of GGUF.
type ggufVocab struct {
	pre           string // how text is split before merging
	tokens        []string
	kinds         []int32 // of tokenizer.Kind, and unused
	merges        []string
	bos, eos, pad *uint32
	addBOS        bool
	addEOS        bool
	template      string // for chat, or ""
}

// unusedKind marks rows of the embedding that no token uses.
const unusedKind = 5

// newGGUFVocab describes a tokenizer to llama.cpp, for a model of size rows of
// the embedding.
func newGGUFVocab(tok *tokenizer.Tokenizer, size int, note func(string)) (*ggufVocab, error) {
	if tok == nil {
		return nil, errors.New("it has no tokenizer.json, and a GGUF file needs a tokenizer: put its files next to config.json, or use --format hf")
	}
	if tok.Pre() == "" {
		return nil, errors.New("llama.cpp has no name for the way in which this tokenizer splits text, and would produce different tokens: use --format hf")
	}
	v := &ggufVocab{pre: tok.Pre(), template: tok.ChatTemplate(), merges: []string{}}
	for id := range uint32(size) {
		token, ok := tok.Token(id)
		kind := int32(tok.Kind(id))
		if !ok {
			token, kind = fmt.Sprintf("[PAD%d]", id), unusedKind
			if _, taken := tok.ID(token); taken {
				return nil, fmt.Errorf("the tokenizer has a token %s, a name that bitnet export gives to a row of the embedding without a token", token)
			}
		}
		v.tokens, v.kinds = append(v.tokens, token), append(v.kinds, kind)
	}
	for _, m := range tok.Merges() {
		v.merges = append(v.merges, v.tokens[m.Left]+" "+v.tokens[m.Right])
	}
	id := func(id uint32, ok bool) *uint32 {
		if !ok {
			return nil
		}
		return &id
	}
	v.bos, v.eos, v.pad = id(tok.BOS()), id(tok.EOS()), id(tok.Pad())
	before, after := tok.Template()
	v.addBOS = v.bos != nil && slices.Equal(before, []uint32{*v.bos})
	v.addEOS = v.eos != nil && slices.Equal(after, []uint32{*v.eos})
	if !v.addBOS && len(before) > 0 || !v.addEOS && len(after) > 0 {
		note("the tokenizer adds tokens around a text that llama.cpp does not add")
	}
	return v, v.say(tok, note)
}

// say notes what llama.cpp does differently from the tokenizer.
func (v *ggufVocab) say(tok *tokenizer.Tokenizer, note func(string)) error {
	text, err := tok.MarshalJSON()
	if err != nil {
		return err
	}
	var f struct {
		Added []struct {
			Content    string
			LStrip     bool
			RStrip     bool
			SingleWord bool `json:"single_word"`
		} `json:"added_tokens"`
		Model struct {
			IgnoreMerges bool `json:"ignore_merges"`
		}
	}
	if err := json.Unmarshal(text, &f); err != nil {
		return err
	}
	for _, a := range f.Added {
		if a.LStrip || a.RStrip || a.SingleWord {
			note(fmt.Sprintf("the token %.40q depends on the text around it; in llama.cpp it does not", a.Content))
		}
	}
	if llama := v.pre == "llama-bpe"; f.Model.IgnoreMerges != llama {
		note(fmt.Sprintf("ignore_merges is %v, in llama.cpp it is %v for this kind of tokenizer: some words may become different tokens there", f.Model.IgnoreMerges, llama))
	}
	if missing := missingBytes(tok); missing > 0 {
		note(fmt.Sprintf("the tokenizer knows only %d of 256 bytes; llama.cpp silently drops all others", 256-missing))
	}
	return nil
}

// missingBytes counts the bytes that the tokenizer has no token for.
func missingBytes(tok *tokenizer.Tokenizer) int {
	var have [256]bool
	for id := range uint32(tok.Size()) {
		if s := tok.Decode([]uint32{id}); len(s) == 1 && tok.Kind(id) == tokenizer.Normal {
			have[s[0]] = true
		}
	}
	n := 0
	for _, ok := range have {
		if !ok {
			n++
		}
	}
	return n
}

func (v *ggufVocab) keys() []gguf.KeyValue {
	keys := []gguf.KeyValue{
		{Key: "tokenizer.ggml.model", Value: "gpt2"},
		{Key: "tokenizer.ggml.pre", Value: v.pre},
		{Key: "tokenizer.ggml.tokens", Value: v.tokens},
		{Key: "tokenizer.ggml.token_type", Value: v.kinds},
		{Key: "tokenizer.ggml.merges", Value: v.merges},
	}
	for _, special := range []struct {
		key string
		id  *uint32
	}{{"bos", v.bos}, {"eos", v.eos}, {"padding", v.pad}} {
		if special.id != nil {
			keys = append(keys, gguf.KeyValue{Key: "tokenizer.ggml." + special.key + "_token_id", Value: *special.id})
		}
	}
	keys = append(keys, gguf.KeyValue{Key: "tokenizer.ggml.add_bos_token", Value: v.addBOS}, gguf.KeyValue{Key: "tokenizer.ggml.add_eos_token", Value: v.addEOS})
	if v.template != "" {
		keys = append(keys, gguf.KeyValue{Key: "tokenizer.chat_template", Value: v.template})
	}
	return keys
}

func readGGUFVocab(f *gguf.File) (*ggufVocab, error) {
	model, _ := gguf.Value[string](f, "tokenizer.ggml.model")
	if model != "gpt2" {
		return nil, fmt.Errorf("tokenizer.ggml.model is %.40q, but bitnet export reads only gpt2", model)
	}
	v := &ggufVocab{}
	var ok [3]bool
	v.tokens, ok[0] = gguf.Value[[]string](f, "tokenizer.ggml.tokens")
	v.kinds, ok[1] = gguf.Value[[]int32](f, "tokenizer.ggml.token_type")
	v.merges, ok[2] = gguf.Value[[]string](f, "tokenizer.ggml.merges")
	if slices.Contains(ok[:], false) {
		return nil, errors.New("the tokens, token types or merges are missing")
	}
	v.pre, _ = gguf.Value[string](f, "tokenizer.ggml.pre")
	v.template, _ = gguf.Value[string](f, "tokenizer.chat_template")
	v.addBOS, _ = gguf.Value[bool](f, "tokenizer.ggml.add_bos_token")
	v.addEOS, _ = gguf.Value[bool](f, "tokenizer.ggml.add_eos_token")
	for key, id := range map[string]**uint32{"bos": &v.bos, "eos": &v.eos, "padding": &v.pad} {
		if n, ok := gguf.Value[uint32](f, "tokenizer.ggml."+key+"_token_id"); ok {
			*id = &n
		}
	}
	return v, nil
}

// compare finds the first difference.
func (v *ggufVocab) compare(got *ggufVocab) error {
	same := func(a, b *uint32) bool { return a == nil && b == nil || a != nil && b != nil && *a == *b }
	switch {
	case !slices.Equal(v.tokens, got.tokens):
		return errors.New("the tokens differ")
	case !slices.Equal(v.kinds, got.kinds):
		return errors.New("the token types differ")
	case !slices.Equal(v.merges, got.merges):
		return errors.New("the merges differ")
	case v.pre != got.pre || v.template != got.template || v.addBOS != got.addBOS || v.addEOS != got.addEOS:
		return errors.New("the tokenizer's settings differ")
	case !same(v.bos, got.bos) || !same(v.eos, got.eos) || !same(v.pad, got.pad):
		return errors.New("the special tokens differ")
	}
	return nil
}
