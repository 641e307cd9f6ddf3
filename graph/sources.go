package graph

import "bitnet/shaders"

// Sources lists the kernel of every call of a step of one micro-batch, in order.
func (p *Plan) Sources() []shaders.Source {
	out := make([]shaders.Source, len(p.calls))
	for i, c := range p.calls {
		out[i] = c.src
	}
	return out
}
