package graph

import (
	"bitnet/shaders/matmul"
	"bitnet/shaders/quantize"
	"bitnet/shaders/ternary"
)

// Ramp is x part of the way to its int8 form, [tokens, features]: with the share r of
// StepValues.Ramp,
//
//	y = (1 - r) x + r q(x) / s
//
// where q and s are those of Quantize. The gradient goes straight through. Use x no
// more: its gradient is that of y.
func (g *Graph) Ramp(x *Tensor) *Tensor {
	y := tensor("ramped activation", F32, x.Rows, x.Cols)
	g.add("ramp", func(e *emitter) {
		e.run(quantize.Ramp{Target: e.target, Tokens: x.Rows, Width: x.Cols}.Source(), x, g.params.step, y)
	}, func(e *emitter) { e.passGrad(y, x) })
	return y
}

// RampLinear is BitLinear with weights that are part of the way to their ternary form:
// with the share r of StepValues.Ramp,
//
//	y[t, n] = sum_k x[t, k] ((1 - r) w[n, k] + r wscale[n] code[n, k]) + residual[t, n]
//
// x [tokens, k] is that of Ramp. At r = 0 it is a float product. Gradients go straight
// through both quantisations, as in BitLinear. The forward pass is computed in float32,
// whatever the precision of other products is.
func (g *Graph) RampLinear(x *Tensor, w *Param, residual *Tensor) *Tensor {
	l := rampLinear{g: g, x: x, w: w, residual: residual, tokens: x.Rows, n: w.Rows, k: w.Cols}
	if x.Cols != l.k || !w.ternary || w.frozen {
		g.fail("%s [%d, %d] cannot be quantised gradually for activations of %d features", w.Parts[0].Name, l.n, l.k, x.Cols)
	}
	l.y = tensor("linear", F32, l.tokens, l.n)
	g.add("ramp linear", l.forward, l.backward)
	return l.y
}

type rampLinear struct {
	g              *Graph
	x, residual, y *Tensor
	w              *Param
	tokens, n, k   int
}

// weights are the weights of this step. They are computed for each pass, so that those of
// one projection exist at a time.
func (l *rampLinear) weights(e *emitter) *Tensor {
	e.inOneBinding(l.w)
	out := tensor("ramped weights", F32, l.n, l.k)
	e.run(ternary.Ramp{Target: e.target, N: l.n, K: l.k}.Source(), l.w.master, l.w.codes, l.w.scale, l.g.params.step, out)
	return out
}

func (l *rampLinear) forward(e *emitter) {
	along := matmul.Operand{Kind: matmul.F32, AlongK: true}
	args := []*Tensor{l.x, l.weights(e)}
	if l.residual != nil {
		args = append(args, l.residual)
	}
	e.unrounded(matmul.Product{M: l.tokens, N: l.n, K: l.k, A: along, B: along, Residual: l.residual != nil}, append(args, l.y)...)
}

// backward computes dw += dy^T x and dx = dy w.
func (l *rampLinear) backward(e *emitter) {
	dy := e.grad(l.y)
	dx, accumulate := e.gradOut(l.x)
	across := matmul.Operand{Kind: matmul.F32}
	e.product(matmul.Product{M: l.n, N: l.k, K: l.tokens, A: across, B: across, Accumulate: true, Gain: gain(l.tokens)},
		wholes(dy, l.x, l.w.grad)...)
	e.product(matmul.Product{M: l.tokens, N: l.k, K: l.n, A: matmul.Operand{Kind: matmul.F32, AlongK: true}, B: across, Accumulate: accumulate, Gain: gain(l.tokens)},
		wholes(dy, l.weights(e), dx)...)
	if l.residual != nil {
		e.passGrad(l.y, l.residual)
	}
}
