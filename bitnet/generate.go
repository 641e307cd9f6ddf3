package bitnet

import (
	"fmt"

	"bitnet/gpu"
	"bitnet/graph"
)

// Generator continues several sequences at once with the training graph's
// forward pass.
type Generator struct {
	model   *Model
	program *graph.Program
	n, seq  int
	tokens  []uint32 // [n, seq]
	targets []uint32
	rows    []uint32
	logits  []float32 // [n, vocab]
}

// NewGenerator compiles the forward pass for n sequences of at most seq tokens.
func (m *Model) NewGenerator(dev *gpu.Device, n, seq int) (*Generator, error) {
	g := graph.New(m.Params, n, seq)
	g.Logits(m.forward(g), m.embed, n)
	plan, err := g.PlanForward()
	if err != nil {
		return nil, err
	}
	program, err := plan.Compile(dev)
	if err != nil {
		return nil, err
	}
	return &Generator{
		model: m, program: program, n: n, seq: seq,
		tokens: make([]uint32, n*seq), targets: make([]uint32, n*seq), rows: make([]uint32, n),
		logits: make([]float32, n*m.Config.VocabSize),
	}, nil
}

// Release frees the generator's buffers.
func (g *Generator) Release() { g.program.Release() }

// Generate continues at most n prompts. Every step, pick chooses the next
// token of sequence i from its logits; a sequence ends at stop or after limit
// new tokens or at the end of the context.
func (g *Generator) Generate(prompts [][]uint32, limit int, stop uint32, pick func(i int, logits []float32) uint32) ([][]uint32, error) {
	if len(prompts) > g.n {
		return nil, fmt.Errorf("%d prompts for a generator of %d", len(prompts), g.n)
	}
	clear(g.tokens)
	length := make([]int, len(prompts))
	done := make([]bool, len(prompts))
	out := make([][]uint32, len(prompts))
	for i, p := range prompts {
		if len(p) == 0 || len(p) > g.seq {
			return nil, fmt.Errorf("a prompt of %d tokens does not fit 1 to %d", len(p), g.seq)
		}
		copy(g.tokens[i*g.seq:], p)
		length[i] = len(p)
	}
	vocab := g.model.Config.VocabSize
	for range limit {
		busy := false
		for i := range prompts {
			g.rows[i] = uint32(i*g.seq + length[i] - 1)
			busy = busy || !done[i]
		}
		if !busy {
			break
		}
		if err := g.program.SetRows(g.rows); err != nil {
			return nil, err
		}
		if err := g.program.Load(g.tokens, g.targets, vocab); err != nil {
			return nil, err
		}
		if err := g.program.Run(false); err != nil {
			return nil, err
		}
		if err := g.program.Logits(g.logits); err != nil {
			return nil, err
		}
		for i := range prompts {
			if done[i] {
				continue
			}
			next := pick(i, g.logits[i*vocab:][:vocab])
			if next == stop {
				done[i] = true
				continue
			}
			out[i] = append(out[i], next)
			if length[i] == g.seq {
				done[i] = true
				continue
			}
			g.tokens[i*g.seq+length[i]] = next
			length[i]++
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
