package task

import (
	"errors"
	"fmt"

	"bitnet/data/tokenizer"
)

// OwnVocabulary checks the run of a task that brings its own tokenizer: the
// model must have room for it, and a model or a configuration that names
// a different tokenizer is refused.
func OwnVocabulary(name string, tok *tokenizer.Tokenizer, o Options) error {
	if n := tok.Size(); n > o.Vocab {
		return fmt.Errorf("model.vocab_size %d is too small for %s: its tokenizer has %d tokens", o.Vocab, name, n)
	}
	if o.Settings.Tokenizer != "" {
		return fmt.Errorf("%s has a tokenizer of its own: leave out --tokenizer %s", name, o.Settings.Tokenizer)
	}
	if o.Own != nil && o.Own.Hash() != tok.Hash() {
		return fmt.Errorf("the model was trained with a different tokenizer than that of %s: it does not know these tokens", name)
	}
	return nil
}

// TextTokenizer is the tokenizer that text is read with: the model's own where
// there is a model, and else the one that load gives.
func TextTokenizer(o Options, load func() (*tokenizer.Tokenizer, error)) (*tokenizer.Tokenizer, error) {
	if o.Own == nil {
		return load()
	}
	if o.Settings.Tokenizer != "" {
		named, err := load()
		if err != nil {
			return nil, err
		}
		if named.Hash() != o.Own.Hash() {
			return nil, errors.New("--tokenizer names a different tokenizer than the model was trained with: leave it out")
		}
	}
	return o.Own, nil
}
