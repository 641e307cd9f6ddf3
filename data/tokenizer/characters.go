package tokenizer

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Characters gives a tokenizer with one token per character of alphabet, in
// its order, after <pad>, <s>, </s> and <unk>, for corpora that are generated.
// It is a byte-level BPE without merges, so that other programs read it too;
// that is why alphabet must be ASCII. Encoding any other character fails.
func Characters(alphabet string) (*Tokenizer, error) {
	p := parts{split: splitter{scanners: []scanner{scanGPT2}}, unk: none, form: gpt2Form()}
	p.addSpecials("<pad>", "<s>", "</s>", "<unk>")
	for i, c := range alphabet {
		if c >= utf8.RuneSelf {
			return nil, fmt.Errorf("tokenizer: the alphabet holds %q at byte %d: only ASCII characters are one byte and so one token; leave it out or train a tokenizer", c, i)
		}
		if strings.IndexRune(alphabet, c) < i {
			return nil, fmt.Errorf("tokenizer: the alphabet holds %q twice, again at byte %d; name it once", c, i)
		}
		p.tokens = append(p.tokens, toSymbols(string(c)))
	}
	p.model = len(p.tokens)
	t := build(p)
	t.nameSpecials()
	return t, nil
}
