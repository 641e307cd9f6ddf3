package tokenizer

import (
	"context"
	"errors"
	"iter"
)

// TrainOptions says what vocabulary Train makes.
type TrainOptions struct {
	VocabSize    int      // tokens in all: specials, 256 bytes, merges
	MinFrequency int      // pairs that are rarer are not merged
	Specials     []string // special tokens; they get the first ids
	// Progress, if not nil, is told bytes read with total 0 while docs are
	// read, then merges made of merges wanted.
	Progress func(done, total int)
}

// Train makes a byte-level BPE vocabulary of docs.
func Train(ctx context.Context, docs iter.Seq[string], o TrainOptions) (*Tokenizer, error) {
	return nil, errors.New("tokenizer: training is not there yet")
}
