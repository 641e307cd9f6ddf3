// Package tokenizer turns text into token ids and back by byte-level BPE
// (Sennrich et al. 2016 on the bytes of Radford et al. 2019), trains such
// vocabularies, and reads and writes them as Hugging Face's tokenizer.json.
//
// It gives the ids that Hugging Face tokenizers give for the same file. What
// it cannot do exactly, Load refuses.
package tokenizer

import "sync"

// Kind says what a token is, in the words of GGUF's tokenizer.ggml.token_type.
type Kind uint8

const (
	Normal      Kind = 1 // made by merging bytes
	Control     Kind = 3 // special: matched whole, means something to a model
	UserDefined Kind = 4 // added to the vocabulary: matched whole, plain text
)

// Tokenizer encodes and decodes text. Its methods may be called from several
// goroutines at once.
type Tokenizer struct {
	tokens []string // by id, as tokenizer.json spells them
	raw    []string // by id, the bytes that they mean
	kinds  []Kind   // by id
	ids    map[string]uint32
	model  int // how many of the tokens are the model's own; the others were added
	merges []Merge

	table        mergeTable
	byteID       [256]uint32
	split        splitter
	added        []addedToken
	matchRaw     matcher // added tokens that are matched first
	matchLater   matcher // those with "normalized": true, matched in what is left
	ignoreMerges bool
	words        map[string]uint32 // with ignoreMerges: every token by its bytes
	unk          uint32            // none without unk_token
	fuseUnk      bool

	prefix, suffix []uint32 // what the post_processor puts around a text
	bos, eos, pad  uint32   // none where the tokenizer has no such token

	form    form // the parts of tokenizer.json that are written as they were read
	hash    string
	scratch sync.Pool // of *encoder
}

// Size is the number of tokens; ids run from 0 to Size()-1.
func (t *Tokenizer) Size() int { return len(t.tokens) }

// Token gives the token of an id as tokenizer.json spells it (byte-level
// symbols, "Ġ" for a space).
func (t *Tokenizer) Token(id uint32) (string, bool) {
	if int64(id) >= int64(len(t.tokens)) {
		return "", false
	}
	return t.tokens[id], true
}

// ID is the inverse of Token.
func (t *Tokenizer) ID(token string) (uint32, bool) {
	id, ok := t.ids[token]
	return id, ok
}

// Kind gives what the token of an id is; ids that do not exist are Normal.
func (t *Tokenizer) Kind(id uint32) Kind {
	if int64(id) >= int64(len(t.kinds)) {
		return Normal
	}
	return t.kinds[id]
}

// IsSpecial tells whether id is a special token, such as the end of a text.
func (t *Tokenizer) IsSpecial(id uint32) bool { return t.Kind(id) == Control }

// BOS gives the token that begins a text, if there is one.
func (t *Tokenizer) BOS() (uint32, bool) { return t.bos, t.bos != none }

// EOS gives the token that ends a text, if there is one.
func (t *Tokenizer) EOS() (uint32, bool) { return t.eos, t.eos != none }

// Pad gives the token that fills up rows, if there is one.
func (t *Tokenizer) Pad() (uint32, bool) { return t.pad, t.pad != none }

// Template gives the ids that the file's post_processor puts before and after
// a single text. Encode does not add them.
func (t *Tokenizer) Template() (before, after []uint32) { return t.prefix, t.suffix }

// Merges lists the merges by rank. The caller must not change them.
func (t *Tokenizer) Merges() []Merge { return t.merges }

// ChatTemplate gives the chat_template of tokenizer_config.json, or "".
func (t *Tokenizer) ChatTemplate() string { return t.form.chatTemplate }

// Pre names the pre-tokenizer as llama.cpp does in tokenizer.ggml.pre, and is
// "" where llama.cpp has no name for it.
func (t *Tokenizer) Pre() string { return t.form.pre }

// parts is what a Tokenizer is made of, whoever made it. All ids in it exist.
type parts struct {
	tokens       []string // by id, all different
	model        int      // how many of them are the model's own; the others were added
	merges       []Merge
	added        []addedToken
	split        splitter
	ignoreMerges bool
	unk          uint32 // none if there is none
	fuseUnk      bool
	form         form
}

// build makes the tables that encoding needs.
func build(p parts) *Tokenizer {
	t := &Tokenizer{
		tokens: p.tokens, model: p.model, merges: p.merges, added: p.added,
		split: p.split, ignoreMerges: p.ignoreMerges, unk: p.unk, fuseUnk: p.fuseUnk,
		form: p.form, bos: none, eos: none, pad: none,
	}
	t.raw = make([]string, len(p.tokens))
	t.kinds = make([]Kind, len(p.tokens))
	t.ids = make(map[string]uint32, len(p.tokens))
	for i := range t.byteID {
		t.byteID[i] = none
	}
	if t.ignoreMerges {
		t.words = make(map[string]uint32, p.model)
	}
	for id, token := range p.tokens {
		t.kinds[id] = Normal
		t.ids[token] = uint32(id)
		raw, ok := fromSymbols(token)
		if !ok {
			t.raw[id] = token
			continue
		}
		t.raw[id] = raw
		if id >= p.model {
			continue
		}
		if len(raw) == 1 {
			t.byteID[raw[0]] = uint32(id)
		}
		if t.ignoreMerges {
			t.words[raw] = uint32(id)
		}
	}
	for _, a := range p.added {
		t.raw[a.id] = a.content
		t.kinds[a.id] = UserDefined
		if a.special {
			t.kinds[a.id] = Control
		}
	}
	t.table = newMergeTable(t.merges)
	t.matchRaw = newMatcher(p.added, false)
	t.matchLater = newMatcher(p.added, true)
	t.scratch.New = func() any { return newEncoder(t) }
	t.hash = t.computeHash()
	return t
}
