package graph

import "bitnet/shaders"

// BitLinear multiplies quantised activations [tokens, k] with ternary weights
// w [n, k] and adds residual [tokens, n] if it is not nil:
//
//	y[t, n] = scale[t] wscale[n] sum_k q[t, k] w[n, k] + residual[t, n]
//
// The sum is exact. Gradients go straight through both quantisations:
// dx = dy (wscale w), dw += dy^T (scale q). (BitNet b1.58, arXiv 2402.17764.)
func (g *Graph) BitLinear(x *Quantized, w *Param, residual *Tensor) *Tensor {
	tokens, n, k := x.codes.Rows, w.Rows, w.Cols
	if x.codes.Cols != k || !w.ternary {
		g.fail("%s [%d, %d] cannot multiply activations of %d features", w.Parts[0].Name, n, k, x.codes.Cols)
	}
	y := tensor("linear", F32, tokens, n)
	g.add("bitlinear", func(e *emitter) {
		mm := shaders.MatMul{
			M: tokens, N: n, K: k,
			A:        shaders.Operand{Kind: shaders.Int8, AlongK: true},
			B:        shaders.Operand{Kind: shaders.Ternary, AlongK: true},
			RowScale: true, ColScale: true, Residual: residual != nil,
		}
		args := []*Tensor{x.codes, w.codes, x.scale, w.scale}
		if residual != nil {
			args = append(args, residual)
		}
		e.run(e.product(mm), append(args, y)...)
	}, func(e *emitter) {
		dy := e.grad(y)
		dx, accumulate := e.gradOut(x.full)
		e.run(e.product(shaders.MatMul{
			M: tokens, N: k, K: n,
			A:      shaders.Operand{Kind: shaders.F32, AlongK: true},
			B:      shaders.Operand{Kind: shaders.Ternary},
			ScaleK: true, Accumulate: accumulate, Gain: 16 * gain(tokens), // dy is scaled by a mean weight
		}), dy, w.codes, w.scale, dx)
		e.run(e.product(shaders.MatMul{
			M: n, N: k, K: tokens,
			A:      shaders.Operand{Kind: shaders.F32},
			B:      shaders.Operand{Kind: shaders.Int8},
			ScaleK: true, Accumulate: true, Gain: 64 * gain(tokens), // dy is scaled by a 127th of an activation
		}), dy, x.codes, x.scale, w.grad)
		if residual != nil {
			e.passGrad(y, residual)
		}
	})
	return y
}
