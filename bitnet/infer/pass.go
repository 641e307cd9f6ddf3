package infer

import (
	"bitnet/bitnet/model"
	"bitnet/graph"
)

// pass is the network over new tokens of the sequences of a cache.
type pass struct {
	program *graph.Program
	tokens  []uint32 // [tokens]
	places  []uint32 // [2, tokens]: positions, then sequences
	rows    []uint32 // the tokens whose logits are computed
}

// newPass compiles the network for a number of tokens, with the logits of rows of
// them; alike is that of graph.Graph.Logits.
func newPass(m *model.Model, c *graph.Cache, tokens, rows int, alike bool) (*pass, error) {
	plan, err := m.PlanCached(c, tokens, rows, alike)
	if err != nil {
		return nil, err
	}
	program, err := plan.Compile(m.Device())
	if err != nil {
		return nil, err
	}
	return &pass{program, make([]uint32, tokens), make([]uint32, 2*tokens), make([]uint32, rows)}, nil
}

// reset leaves no token in the pass.
func (p *pass) reset() {
	clear(p.tokens)
	clear(p.places)
	clear(p.rows)
	for t := range p.tokens {
		p.places[t] = graph.NoPosition
	}
}

// put makes token t of the pass the one at a position of a sequence.
func (p *pass) put(t int, id, position uint32, sequence int) {
	p.tokens[t], p.places[t], p.places[len(p.tokens)+t] = id, position, uint32(sequence)
}

// run computes what was put. It does not wait for the device.
func (p *pass) run() error {
	if err := p.program.SetPlaces(p.places); err != nil {
		return err
	}
	if err := p.program.SetRows(p.rows); err != nil {
		return err
	}
	if err := p.program.SetTokens(p.tokens); err != nil {
		return err
	}
	return p.program.MicroBatch()
}
