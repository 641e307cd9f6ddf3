package tokenizer

import (
	"fmt"
	"unicode/utf8"
)

// Characters gives a tokenizer with one token per character of alphabet, in
// its order, after <pad>, <s>, </s> and <unk>, for corpora that are generated.
// It is a byte-level BPE without merges, so that other programs read it too;
// that is why alphabet must be ASCII. Encoding any other character fails.
func Characters(alphabet string) (*Tokenizer, error) {
	specials := []string{"<pad>", "<s>", "</s>", "<unk>"}
	p := parts{tokens: specials, split: splitter{scanners: []scanner{scanGPT2}}, form: gpt2Form()}
	for id, s := range specials {
		p.added = append(p.added, addedToken{id: uint32(id), Content: s, Special: true})
	}
	for i, c := range alphabet {
		if c >= utf8.RuneSelf {
			return nil, fmt.Errorf("tokenizer: the alphabet holds %q at byte %d: only ASCII characters are one byte and so one token; leave it out or train a tokenizer", c, i)
		}
		p.tokens = append(p.tokens, toSymbols(string(c)))
	}
	p.model = len(p.tokens)
	t, err := build(p)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: making one of the alphabet %q: %w; name every character once", alphabet, err)
	}
	t.nameSpecials()
	return t, nil
}
