package graph

import "bitnet/shaders"

// RMSNorm is y[t] = x[t] w / sqrt(mean(x[t]^2) + eps), [tokens, hidden]
// (Zhang and Sennrich, 2019).
func (g *Graph) RMSNorm(x *Tensor, w *Param, eps float32) *Tensor {
	y := tensor("norm", F32, x.Rows, x.Cols)
	rstd := tensor("norm rstd", F32, x.Rows, 1)
	g.add("norm", func(e *emitter) {
		e.run(shaders.Norm{Target: e.target, Tokens: x.Rows, Width: x.Cols, Eps: eps}.Source(), x, w.master, rstd, y)
	}, func(e *emitter) {
		e.normBackward(e.grad(y), x, w, rstd)
	})
	return y
}

// NormQuantize is RMSNorm followed by the absmax quantisation of each token to
// int8 (BitNet b1.58): s = 127 / max(max|y|, 1e-5), q = clamp(round(y s), -128, 127).
// The gradient goes straight through the quantisation.
func (g *Graph) NormQuantize(x *Tensor, w *Param, eps float32) *Quantized {
	q := quantized(x)
	rstd := tensor("norm rstd", F32, x.Rows, 1)
	g.add("norm+quantize", func(e *emitter) {
		e.run(shaders.Norm{Target: e.target, Tokens: x.Rows, Width: x.Cols, Eps: eps, Quantize: true}.Source(),
			x, w.master, rstd, q.codes, q.scale)
	}, func(e *emitter) {
		e.normBackward(e.grad(q.full), x, w, rstd)
	})
	return q
}

// Quantize is the quantisation of NormQuantize alone.
func (g *Graph) Quantize(x *Tensor) *Quantized {
	q := quantized(x)
	g.add("quantize", func(e *emitter) {
		e.run(shaders.Quantize{Target: e.target, Tokens: x.Rows, Width: x.Cols}.Source(), x, q.codes, q.scale)
	}, func(e *emitter) {
		e.passGrad(q.full, x)
	})
	return q
}

func quantized(x *Tensor) *Quantized {
	return &Quantized{
		codes: tensor("activation codes", Int8, x.Rows, x.Cols),
		scale: tensor("activation scale", F32, x.Rows, 1),
		full:  tensor("activation", F32, x.Rows, x.Cols),
	}
}

func (e *emitter) normBackward(dy, x *Tensor, w *Param, rstd *Tensor) {
	weight := shaders.NormWeightBackward{Target: e.target, Tokens: x.Rows, Width: x.Cols}
	part := tensor("norm weight sums", F32, weight.Blocks(), x.Cols)
	e.run(weight.Source(), dy, x, rstd, part)
	e.run(shaders.FoldRows{Target: e.target, Rows: weight.Blocks(), Cols: x.Cols}.Source(), part, w.grad)
	dx, accumulate := e.gradOut(x)
	e.run(shaders.NormBackward{Target: e.target, Tokens: x.Rows, Width: x.Cols, Accumulate: accumulate}.Source(),
		dy, x, w.master, rstd, dx)
}
