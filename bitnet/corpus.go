package bitnet

import (
	"context"
	"fmt"
	"strings"

	"bitnet/data"
	"bitnet/data/tokenizer"
)

// corpus is what a run trains and is evaluated on.
type corpus struct {
	train      data.Source
	heldOut    func() (data.Source, error) // one pass; nil if nothing is held out
	arithmetic *data.Arithmetic            // nil for other sources
	tictactoe  *data.TicTacToe             // nil for other sources
	tokenizer  *tokenizer.Tokenizer
}

// openCorpus opens the source of a configuration. tok is the tokenizer of the
// model directory that training starts from, if any; with fixedVocab the
// model's vocabulary must stay as it is.
func openCorpus(ctx context.Context, c *Config, tok *tokenizer.Tokenizer, fixedVocab bool, events Events) (*corpus, error) {
	kind, path, _ := strings.Cut(c.Data.Source, ":")
	switch kind {
	case "arithmetic":
		a, err := data.NewArithmetic(data.ArithmeticOptions{
			Seq: c.Train.SeqLen, Seed: c.Train.Seed, Pack: c.Data.Pack, LossOnAll: c.Data.LossOnAll,
		})
		if err != nil {
			return nil, err
		}
		if n := a.Tokenizer().Size(); n > c.Model.VocabSize {
			return nil, fmt.Errorf("model.vocab_size %d is too small for arithmetic: its tokenizer has %d tokens", c.Model.VocabSize, n)
		}
		return &corpus{train: a, heldOut: func() (data.Source, error) { return a.HeldOutSource(), nil }, arithmetic: a, tokenizer: a.Tokenizer()}, nil
	case "tictactoe":
		games := func(seed uint64, once bool) (*data.TicTacToe, error) {
			return data.NewTicTacToe(data.TicTacToeOptions{Seq: c.Train.SeqLen, Seed: seed, Pack: c.Data.Pack, Once: once})
		}
		t, err := games(c.Train.Seed, false)
		if err != nil {
			return nil, err
		}
		if n := t.Tokenizer().Size(); n > c.Model.VocabSize {
			return nil, fmt.Errorf("model.vocab_size %d is too small for tic-tac-toe: its tokenizer has %d tokens", c.Model.VocabSize, n)
		}
		// The whole game is trained on: these are other games through the same positions.
		heldOut := func() (data.Source, error) { return games(c.Train.Seed+1, true) }
		return &corpus{train: t, heldOut: heldOut, tictactoe: t, tokenizer: t.Tokenizer()}, nil
	case "tokens":
		t, err := data.OpenTokens(path, strings.HasSuffix(path, ".u32"), c.Data.Shuffle, c.Train.Seed, c.Train.SeqLen, c.Model.VocabSize)
		if err != nil {
			return nil, err
		}
		return &corpus{train: t, tokenizer: tok}, nil
	}
	switch {
	case kind == "text" && path != "":
		return openText(ctx, c, path, fixedVocab, events)
	case kind == "shards" && path != "":
		return openShards(ctx, c, path, fixedVocab)
	}
	return nil, fmt.Errorf("data.source is %q: it must be arithmetic, tictactoe, text:NAME or PATH, shards:FOLDER, or tokens:FILE", c.Data.Source)
}
