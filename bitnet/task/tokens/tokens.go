// Package tokens is the task of raw token ids in a file, for comparing this
// program with others.
package tokens

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"bitnet/bitnet/model"
	"bitnet/bitnet/task"
	"bitnet/data"
	"bitnet/data/corpus"
	"bitnet/data/tokenizer"
)

// Kind is the task in the table.
var Kind = task.Kind{
	Name:     "tokens",
	Argument: "FILE",
	About:    "raw little-endian ids: uint32 if FILE ends in .u32, else uint16",
	Open:     open,
}

type ids struct {
	*data.Tokens
	o   task.Options
	tok *tokenizer.Tokenizer
}

func open(ctx context.Context, o task.Options) (task.Task, error) {
	tok, err := task.TextTokenizer(o, func() (*tokenizer.Tokenizer, error) {
		if o.Settings.Tokenizer == "" {
			return nil, nil // nothing is known but the ids
		}
		return corpus.LoadTokenizer(ctx, o.Settings.Tokenizer)
	})
	if err != nil {
		return nil, err
	}
	if tok != nil && tok.Size() > o.Vocab {
		return nil, fmt.Errorf("model.vocab_size %d is too small: the tokenizer has %d tokens", o.Vocab, tok.Size())
	}
	t, err := read(o, o.Shuffle && !o.Whole)
	if err != nil {
		return nil, err
	}
	return &ids{t, o, tok}, nil
}

func read(o task.Options, shuffle bool) (*data.Tokens, error) {
	return data.OpenTokens(o.Argument, strings.HasSuffix(o.Argument, ".u32"), shuffle, o.Seed, o.Seq, o.Vocab)
}

func (t *ids) Train() data.Source              { return t.Tokens }
func (t *ids) Tokenizer() *tokenizer.Tokenizer { return t.tok }
func (t *ids) Prompts() []string               { return nil }

// IsText is false: where ids come from is not known, even with a tokenizer.
func (t *ids) IsText() bool { return false }

// Validation gives every window once where all of the data is to be measured;
// a file that is trained on has no validation data.
func (t *ids) Validation() (data.Source, error) {
	if !t.o.Whole {
		return nil, nil
	}
	src, err := read(t.o, false)
	if err != nil {
		return nil, err
	}
	return &pass{src, src.Windows()}, nil
}

// Examination is nil: ids have no answers to check.
func (t *ids) Examination(*model.Model) (task.Examination, error) { return nil, nil }

// pass reads the windows of a file once. The rows of its last batch that are
// left over carry no loss.
type pass struct {
	*data.Tokens
	left int64
}

func (p *pass) Next(b *data.Batch) error {
	if p.left <= 0 {
		return io.EOF
	}
	if err := p.Tokens.Next(b); err != nil {
		return err
	}
	for i := p.left * int64(b.Seq); i < int64(len(b.Targets)); i++ {
		b.Targets[i] = data.Ignore
	}
	p.left -= int64(b.Rows)
	return nil
}

// Random writes at least n random ids below vocab to a file in dir, and gives
// the source that reads it: for measuring speed without preparing data.
func Random(dir string, n, vocab int, seed uint64) (source string, err error) {
	rng := rand.New(rand.NewPCG(seed, 0))
	raw := make([]byte, 0, 4*max(n, 1<<16))
	for range cap(raw) / 4 {
		raw = binary.LittleEndian.AppendUint32(raw, uint32(rng.IntN(vocab)))
	}
	path := filepath.Join(dir, "tokens.u32")
	return Kind.Name + ":" + path, os.WriteFile(path, raw, 0o600)
}
