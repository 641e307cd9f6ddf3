package infer

import (
	"context"
	"fmt"
	"slices"

	"bitnet/bitnet/model"
	"bitnet/graph"
)

// Generator continues several sequences at once, each token computed once:
// the keys and values of those before it are kept on the device. It works on
// a model that is being trained as well as on one that was opened for use.
type Generator struct {
	model   *model.Model
	cache   *graph.Cache
	n       int
	context int
	step    *pass         // one token of each sequence
	prompts map[int]*pass // chunks of each, by how many tokens

	length []uint32 // tokens of each sequence
	logits []float32
}

// promptTokens is how many tokens of prompts are computed at once, in total over
// all sequences.
const promptTokens = 512

// NewGenerator makes room for n sequences of at most context tokens.
func NewGenerator(m *model.Model, n, length int) (*Generator, error) {
	g, err := newGenerator(m, n, length)
	if err != nil {
		return nil, err
	}
	if _, err = g.pass(1); err != nil {
		g.Release()
		return nil, err
	}
	return g, nil
}

// newGenerator is NewGenerator without the pass for a single token, which is compiled
// when it is needed: the first new token does not wait for it.
func newGenerator(m *model.Model, n, length int) (*Generator, error) {
	if err := checkContext(m, length); err != nil {
		return nil, err
	}
	cache, err := m.NewCache(n, length)
	if err != nil {
		return nil, err
	}
	if err := cache.Allocate(m.Device()); err != nil {
		return nil, err
	}
	return &Generator{
		model: m, cache: cache, n: n, context: length, prompts: map[int]*pass{},
		length: make([]uint32, n), logits: make([]float32, n*m.Config.VocabSize),
	}, nil
}

// GeneratorBytes is what a Generator for n sequences of at most length tokens holds on
// the device once it has seen prompts of all lengths. The model needs no device.
func GeneratorBytes(m *model.Model, n, length int) (int64, error) {
	if err := checkContext(m, length); err != nil {
		return 0, err
	}
	cache, err := m.NewCache(n, length)
	if err != nil {
		return 0, err
	}
	bytes := cache.Bytes()
	for _, seq := range passSizes(n, length) {
		plan, err := m.PlanCached(cache, n*seq, n, false)
		if err != nil {
			return 0, err
		}
		bytes += plan.Own(nil)
	}
	return bytes, nil
}

// passSizes are the numbers of tokens of each of n sequences that a pass can take.
func passSizes(n, length int) []int {
	sizes := []int{1}
	for left := 2; left <= length; left++ {
		if size := chunk(n, length, left); !slices.Contains(sizes, size) {
			sizes = append(sizes, size)
		}
	}
	return sizes
}

// checkContext refuses a context that the model does not have.
func checkContext(m *model.Model, length int) error {
	if length < 1 {
		return fmt.Errorf("a context of %d tokens: want 1 or more", length)
	}
	if length > m.Config.MaxPositions {
		return fmt.Errorf("a context of %d tokens is longer than the model's, %d", length, m.Config.MaxPositions)
	}
	return nil
}

// compile makes the pass over the next seq tokens of each sequence.
func (g *Generator) compile(seq int) (*pass, error) {
	return newPass(g.model, g.cache, g.n*seq, g.n, false)
}

// Release frees the generator's buffers.
func (g *Generator) Release() {
	if g.step != nil {
		g.step.program.Release()
	}
	for _, p := range g.prompts {
		p.program.Release()
	}
	g.cache.Release()
}

// Context is the most tokens that a sequence can have.
func (g *Generator) Context() int { return g.context }

// Len is the number of tokens of sequence i.
func (g *Generator) Len(i int) int { return int(g.length[i]) }

// Truncate forgets all but the first n tokens of sequence i.
func (g *Generator) Truncate(i, n int) { g.length[i] = min(g.length[i], uint32(n)) }

// Feed appends tokens to the sequences, none to those whose entry is empty or
// missing, and returns the logits [vocab] after the last token of each
// sequence that got some, nil for the others. They stay valid until the next
// call. When ctx ends between two chunks of a long prompt, the sequences hold
// what was fed so far, and ctx's error is returned.
func (g *Generator) Feed(ctx context.Context, tokens [][]uint32) ([][]float32, error) {
	longest := 0
	for i, t := range tokens {
		if i >= g.n {
			return nil, fmt.Errorf("%d sequences are more than the generator's %d", len(tokens), g.n)
		}
		if int(g.length[i])+len(t) > g.context {
			return nil, fmt.Errorf("%d tokens do not fit the context of %d", int(g.length[i])+len(t), g.context)
		}
		for _, id := range t {
			if int(id) >= g.model.Config.VocabSize {
				return nil, fmt.Errorf("token %d is not below the vocabulary's size of %d", id, g.model.Config.VocabSize)
			}
		}
		longest = max(longest, len(t))
	}
	out := make([][]float32, len(tokens))
	vocab := g.model.Config.VocabSize
	for at := 0; at < longest; {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		p, err := g.pass(longest - at)
		if err != nil {
			return nil, err
		}
		seq := len(p.tokens) / g.n
		ends := false
		p.reset()
		for i, list := range tokens {
			if at >= len(list) {
				continue
			}
			n := min(seq, len(list)-at)
			for j, id := range list[at : at+n] {
				p.put(i*seq+j, id, g.length[i]+uint32(j), i)
			}
			p.rows[i] = uint32(i*seq + n - 1)
			g.length[i] += uint32(n)
			ends = ends || at+n == len(list)
		}
		if err := p.run(); err != nil {
			return nil, err
		}
		if ends {
			logits := g.logits
			if longest > seq { // not all end here: the buffer is written again
				logits = make([]float32, len(g.logits))
			}
			if err := p.program.Logits(logits); err != nil {
				return nil, err
			}
			for i, t := range tokens {
				if at < len(t) && len(t) <= at+seq {
					out[i] = logits[i*vocab:][:vocab]
				}
			}
		}
		at += seq
	}
	return out, nil
}

// pass is the program for the next n tokens of each sequence, or for some of them.
func (g *Generator) pass(n int) (*pass, error) {
	if n == 1 {
		if g.step == nil {
			var err error
			if g.step, err = g.compile(1); err != nil {
				return nil, err
			}
		}
		return g.step, nil
	}
	size := chunk(g.n, g.context, n)
	if g.prompts[size] == nil {
		p, err := g.compile(size)
		if err != nil {
			return nil, err
		}
		g.prompts[size] = p
	}
	return g.prompts[size], nil
}

// chunk is how many tokens of each of n sequences of at most length tokens the next pass
// takes, of left that remain. For a single sequence there are chunks of several sizes, so
// that a short prompt does not wait for a long one's; of many, prompts are short compared
// with what a pass takes.
func chunk(n, length, left int) int {
	size := min(max(promptTokens/n, 8), 128)
	if n == 1 {
		size = passFor(min(fitting(left, 1), size))
	}
	return min(size, length)
}

// Generate continues at most n prompts from nothing. Every step, pick chooses
// the next token of sequence i from its logits; a sequence ends at stop or
// after limit new tokens or at the end of the context.
func (g *Generator) Generate(ctx context.Context, prompts [][]uint32, limit int, stop uint32, pick func(i int, logits []float32) uint32) ([][]uint32, error) {
	clear(g.length)
	feed := make([][]uint32, len(prompts))
	for i, p := range prompts {
		if len(p) == 0 || len(p) > g.context {
			return nil, fmt.Errorf("a prompt of %d tokens does not fit 1 to %d", len(p), g.context)
		}
		feed[i] = p
	}
	out := make([][]uint32, len(prompts))
	next := make([]uint32, len(prompts)) // what feed's entries are slices of
	for range limit {
		logits, err := g.Feed(ctx, feed)
		if err != nil {
			return nil, err
		}
		busy := false
		for i := range prompts {
			if logits[i] == nil {
				continue
			}
			feed[i] = nil
			next[i] = pick(i, logits[i])
			if next[i] == stop {
				continue
			}
			out[i] = append(out[i], next[i])
			if int(g.length[i]) < g.context {
				feed[i] = next[i : i+1]
				busy = true
			}
		}
		if !busy {
			break
		}
	}
	return out, nil
}

// Greedy picks the likeliest token.
func Greedy(_ int, logits []float32) uint32 {
	best := 0
	for i, v := range logits {
		if v > logits[best] {
			best = i
		}
	}
	return uint32(best)
}
