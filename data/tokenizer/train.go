package tokenizer

import (
	"context"
	"fmt"
	"iter"
	"unicode/utf8"
)

// TrainOptions says what vocabulary Train makes.
type TrainOptions struct {
	VocabSize    int      // all tokens: special ones, 256 bytes, merges
	MinFrequency int      // rarer pairs are not merged; 0 and 1 mean all are
	Specials     []string // special tokens; they get the first ids
	// Progress, if not nil, is called from one goroutine: with the bytes read and
	// total 0 while docs are read, then with the tokens made and wanted.
	Progress func(done, total int)
}

// Train makes a byte-level BPE vocabulary of docs, which are read once, and
// splits text as GPT-2 does. It makes the merges that Hugging Face's BpeTrainer
// makes of the same docs with ByteLevel's alphabet: always the most frequent
// pair, and of equals the one with the smaller ids. A text with too few pairs
// gives fewer tokens than VocabSize.
//
// Memory holds the distinct words of docs and where each pair of tokens is in
// them, not docs. Train ends soon after ctx is cancelled, if docs do.
func Train(ctx context.Context, docs iter.Seq[string], o TrainOptions) (*Tokenizer, error) {
	return train(ctx, docs, o, splitter{scanners: []scanner{scanGPT2}}, gpt2Form())
}

func train(ctx context.Context, docs iter.Seq[string], o TrainOptions, split splitter, f form) (*Tokenizer, error) {
	p := parts{split: split, form: f, unk: none}
	if err := p.beginVocabulary(o); err != nil {
		return nil, fmt.Errorf("tokenizer: training: %w", err)
	}
	if o.Progress == nil {
		o.Progress = func(int, int) {}
	}
	words, err := countWords(ctx, docs, split, o.Progress)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: counting words: %w", err)
	}
	if err := p.learn(ctx, words, o); err != nil {
		return nil, fmt.Errorf("tokenizer: learning merges: %w", err)
	}
	p.model = len(p.tokens)
	t := build(p)
	t.nameSpecials()
	return t, nil
}

// beginVocabulary makes the tokens that exist before any merge.
func (p *parts) beginVocabulary(o TrainOptions) error {
	seen := map[string]bool{}
	for _, s := range o.Specials {
		switch {
		case s == "" || !utf8.ValidString(s):
			return fmt.Errorf("the special token %q is not text; leave it out", s)
		case len(s) > maxAdded:
			return fmt.Errorf("the special token %q is longer than %d bytes; shorten it", short(s), maxAdded)
		case seen[s]:
			return fmt.Errorf("the special token %q is given twice; name it once", s)
		}
		seen[s] = true
	}
	p.addSpecials(o.Specials...)
	for _, b := range alphabet() {
		if token := string(symbolOfByte[b]); !seen[token] {
			p.tokens = append(p.tokens, token)
		}
	}
	if o.VocabSize < len(p.tokens) {
		return fmt.Errorf("a vocabulary of %d is too small: %d special tokens and 256 bytes need %d; choose a larger one", o.VocabSize, len(o.Specials), len(p.tokens))
	}
	if o.VocabSize > 1<<30 {
		return fmt.Errorf("a vocabulary of %d is too large; choose a smaller one", o.VocabSize)
	}
	return nil
}
