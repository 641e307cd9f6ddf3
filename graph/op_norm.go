package graph

import (
	"bitnet/shaders/norm"
	"bitnet/shaders/quantize"
	"bitnet/shaders/rows"
)

// RMSNorm is y[t] = x[t] w / sqrt(mean(x[t]^2) + eps), [tokens, hidden]
// (Zhang and Sennrich, 2019).
func (g *Graph) RMSNorm(x *Tensor, w *Param, eps float32) *Tensor {
	return g.norm("norm", x, w, norm.RMS{Width: x.Cols, Eps: eps})
}

// NormQuantize is RMSNorm followed by the absmax quantisation of each token to
// int8 (BitNet b1.58): s = 127 / max(max|y|, 1e-5), q = clamp(round(y s), -128, 127).
// The gradient goes straight through the quantisation.
func (g *Graph) NormQuantize(x *Tensor, w *Param, eps float32) *Quantized {
	return g.normQuantize("norm+quantize", x, w, norm.RMS{Width: x.Cols, Eps: eps})
}

// Activation is the function of a gate.
type Activation int

const (
	SiLU  Activation = iota // x / (1 + exp(-x))
	Relu2                   // max(x, 0)^2
)

// GLUNormQuantize is NormQuantize of the gated activation act(gate) up of
// gu [tokens, 2 f], which holds gate and then up in each row (Shazeer, 2020).
// The activation [tokens, f] is not stored: both passes compute it from gu. The
// gradient of gu takes its place: use gu no more.
func (g *Graph) GLUNormQuantize(gu *Tensor, act Activation, w *Param, eps float32) *Quantized {
	return g.normQuantize("glu+norm+quantize", gu, w, gated(gu, act, eps))
}

func gated(gu *Tensor, act Activation, eps float32) norm.RMS {
	return norm.RMS{Width: gu.Cols / 2, Eps: eps, Gated: true, Relu2: act == Relu2}
}

func (g *Graph) norm(name string, x *Tensor, w *Param, k norm.RMS) *Tensor {
	y := tensor("norm", F32, x.Rows, k.Width)
	g.addNorm(name, x, w, k, y, y)
	return y
}

func (g *Graph) normQuantize(name string, x *Tensor, w *Param, k norm.RMS) *Quantized {
	q := quantized(x.Rows, k.Width)
	k.Quantize = true
	g.addNorm(name, x, w, k, q.full, q.codes, q.scale)
	return q
}

// addNorm declares a norm of x that writes out, and whose gradient is that of y.
func (g *Graph) addNorm(name string, x *Tensor, w *Param, k norm.RMS, y *Tensor, out ...*Tensor) {
	k.Target, k.Tokens = g.params.Target, x.Rows
	rstd := tensor("norm rstd", F32, x.Rows, 1)
	g.add(name, func(e *emitter) {
		e.run(k.Source(), append([]*Tensor{x, w.master, rstd}, out...)...)
	}, func(e *emitter) {
		back := norm.RMSBackward{RMS: k}
		part := tensor("norm weight sums", F32, back.Blocks(), k.Width)
		if k.Gated && e.overwrites(x) {
			back.InPlace = true
			e.run(back.Source(), e.grad(y), x, w.master, rstd, part)
		} else {
			var dx *Tensor
			dx, back.Accumulate = e.gradOut(x)
			e.run(back.Source(), e.grad(y), x, w.master, rstd, dx, part)
		}
		if !w.frozen {
			e.run(rows.Sum{Target: e.target, Rows: back.Blocks(), Cols: k.Width}.Source(), part, w.grad)
		}
	})
}

// GLUNorm is GLUNormQuantize without the quantisation, [tokens, f].
func (g *Graph) GLUNorm(gu *Tensor, act Activation, w *Param, eps float32) *Tensor {
	return g.norm("glu+norm", gu, w, gated(gu, act, eps))
}

// GLU is the gated activation act(gate) up of gu [tokens, 2 f] alone, [tokens, f]. It has
// no gradient: use it in Graph.Beside.
func (g *Graph) GLU(gu *Tensor, act Activation) *Tensor {
	k := norm.Gated{Target: g.params.Target, Tokens: gu.Rows, Width: gu.Cols / 2, Relu2: act == Relu2}
	y := tensor("glu", F32, gu.Rows, k.Width)
	g.add("glu", func(e *emitter) { e.run(k.Source(), gu, y) }, withoutGradient)
	return y
}

// Quantize is NormQuantize without the norm. x can be used again: its gradient is the
// sum of all.
func (g *Graph) Quantize(x *Tensor) *Quantized {
	q := quantized(x.Rows, x.Cols)
	q.full = x
	g.add("quantize", func(e *emitter) {
		e.run(quantize.Rows{Target: e.target, Tokens: x.Rows, Width: x.Cols}.Source(), x, q.codes, q.scale)
	}, nil)
	return q
}

func quantized(rows, cols int) *Quantized {
	return &Quantized{
		codes: tensor("activation codes", Int8, rows, cols),
		scale: tensor("activation scale", F32, rows, 1),
		full:  tensor("activation", F32, rows, cols),
	}
}
