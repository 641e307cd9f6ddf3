package arithmetic

import (
	"fmt"
	"slices"
	"strconv"

	"bitnet/data"
	"bitnet/data/order"
	"bitnet/data/rows"
	"bitnet/data/tokenizer"
)

// Problem is one task of arithmetic, A Op B with A in 0..100, B in 1..100 and
// Op one of Operators.
type Problem struct {
	A, B int
	Op   byte
}

// Operators lists the operators of arithmetic; / is integer division.
func Operators() []byte { return []byte("+-*/") }

// Prompt is the task as text, "25 + 17 = ".
func (p Problem) Prompt() string {
	return fmt.Sprintf("%d %c %d = ", p.A, p.Op, p.B)
}

// Answer is the text that belongs after Prompt, "42"; it is "" for an unknown
// operator and for division by zero.
func (p Problem) Answer() string {
	switch {
	case p.Op == '+':
		return strconv.Itoa(p.A + p.B)
	case p.Op == '-':
		return strconv.Itoa(p.A - p.B)
	case p.Op == '*':
		return strconv.Itoa(p.A * p.B)
	case p.Op == '/' && p.B != 0:
		return strconv.Itoa(p.A / p.B)
	}
	return ""
}

// Digits is how many digits the answer has, its sign not counted.
func (p Problem) Digits() int {
	answer := p.Answer()
	if answer != "" && answer[0] == '-' {
		return len(answer) - 1
	}
	return len(answer)
}

const (
	maxOperand = 100
	// heldOutOneIn: one pair of operands in so many is held out.
	heldOutOneIn = 10
)

// heldOut reports whether the pair of operands is never trained on, with any
// operator and in either order: a model that has seen 17 + 25 and answers
// 25 + 17 shows nothing. It depends only on the pair, so that every run keeps
// the same problems out.
func (p Problem) heldOut() bool {
	a, b := uint64(min(p.A, p.B)), uint64(max(p.A, p.B))
	return order.Mix(order.Mix(a+1)+b)%heldOutOneIn == 0
}

// Options says how problems become rows.
type Options struct {
	Seq  int    // positions in a row
	Seed uint64 // decides the order of the training problems
	// Pack fills each row with as many whole samples as fit, where one sample per
	// row leaves most of it padding. A sample then sees those before it.
	Pack bool
	// LossOnAll makes the task carry loss too, not only the answer and its end.
	LossOnAll bool
}

// Source gives problems as text, "<s>25 + 17 = 42</s>", one token per
// character. An epoch is a permutation of all problems but those held out.
type Source struct {
	*rows.Source // training
	tokenizer    *tokenizer.Tokenizer
	heldOut      []Problem
	evaluated    *rows.Source // at the start of the held-out problems
}

// NewSource makes all samples. It fails if a row is too short for the longest.
func NewSource(o Options) (*Source, error) {
	tok, err := tokenizer.Characters("0123456789+-*/= ")
	if err != nil {
		return nil, fmt.Errorf("arithmetic: %w", err)
	}
	a := &Source{tokenizer: tok}
	var trained []Problem
	for _, op := range Operators() {
		for x := range maxOperand + 1 {
			for y := range maxOperand {
				p := Problem{x, y + 1, op}
				if p.heldOut() {
					a.heldOut = append(a.heldOut, p)
				} else {
					trained = append(trained, p)
				}
			}
		}
	}
	a.heldOut = mixed(a.heldOut)

	pad, _ := tok.Pad()
	options := rows.Options{Seq: o.Seq, Pad: pad, Pack: o.Pack, Join: o.LossOnAll, Shuffle: true, Seed: o.Seed}
	if a.Source, err = newRows(tok, trained, o.LossOnAll, options); err != nil {
		return nil, err
	}
	options.Shuffle, options.Once = false, true
	if a.evaluated, err = newRows(tok, a.heldOut, o.LossOnAll, options); err != nil {
		return nil, err
	}
	return a, nil
}

// mixed shuffles problems, always alike, so that each part of them is like the
// whole.
func mixed(problems []Problem) []Problem {
	perm := order.New(uint64(len(problems)), 1)
	out := make([]Problem, len(problems))
	for i := range out {
		out[i] = problems[perm.At(uint64(i))]
	}
	return out
}

func newRows(tok *tokenizer.Tokenizer, problems []Problem, lossOnAll bool, o rows.Options) (*rows.Source, error) {
	bos, _ := tok.BOS()
	eos, _ := tok.EOS()
	c := &rows.Samples{}
	var ids []uint32
	var learned []bool
	for _, p := range problems {
		prompt, answer := p.Prompt(), p.Answer()
		var err error
		if ids, err = tok.Append(append(ids[:0], bos), prompt+answer); err != nil {
			return nil, fmt.Errorf("arithmetic: %w", err)
		}
		ids = append(ids, eos)
		learned = learned[:0]
		for i := range ids {
			learned = append(learned, lossOnAll || i > len(prompt))
		}
		c.Add(ids, learned)
	}
	return rows.New("arithmetic", c.At, c.Len(), c.Longest, o)
}

// Tokenizer is the tokenizer of the samples.
func (a *Source) Tokenizer() *tokenizer.Tokenizer { return a.tokenizer }

// HeldOut lists the problems that are never trained on, the same in every run.
// They are shuffled, so that the first of them are representative.
func (a *Source) HeldOut() []Problem { return slices.Clone(a.heldOut) }

// HeldOutSource gives one pass over the problems of HeldOut, in that order and
// made into rows like those of training. The last batch is filled up with rows
// of padding, which carry no loss; after it Next gives io.EOF.
func (a *Source) HeldOutSource() data.Source {
	s := *a.evaluated
	return &s
}
