package graph

import "bitnet/shaders"

// Activation is the function of the gate.
type Activation int

const (
	SiLU  Activation = iota // x / (1 + exp(-x))
	Relu2                   // max(x, 0)^2
)

// GLU is the gated activation y = act(gate) up of gu [tokens, 2 f], which
// holds gate and then up in each row; y is [tokens, f] (Shazeer, 2020).
func (g *Graph) GLU(gu *Tensor, act Activation) *Tensor {
	y := tensor("glu", F32, gu.Rows, gu.Cols/2)
	k := shaders.GLU{Target: g.params.Target, Tokens: y.Rows, Width: y.Cols, Relu2: act == Relu2}
	g.add("glu", func(e *emitter) {
		e.run(k.Source(), gu, y)
	}, func(e *emitter) {
		dgu, accumulate := e.gradOut(gu)
		if accumulate {
			e.fail("the input of the gated activation is used twice")
		}
		e.run(shaders.GLUBackward(k).Source(), e.grad(y), gu, dgu)
	})
	return y
}
