package graph

import (
	"bitnet/shaders"
	"bitnet/shaders/matmul"
	"bitnet/shaders/quantize"
	"bitnet/shaders/rows"
)

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
		mm := matmul.Product{
			M: tokens, N: n, K: k,
			A:        matmul.Operand{Kind: matmul.Int8, AlongK: true},
			B:        matmul.Operand{Kind: matmul.Ternary, AlongK: true},
			RowScale: true, ColScale: true, Residual: residual != nil,
		}
		args := []*Tensor{x.codes, w.codes, x.scale, w.scale}
		if residual != nil {
			args = append(args, residual)
		}
		e.product(mm, wholes(append(args, y)...)...)
	}, func(e *emitter) {
		dy := e.grad(y)
		dx, accumulate := e.gradOut(x.full)
		// The weights' gradient first: it frees the codes before dx takes its place.
		if e.precision == IntegerGradients {
			e.integerGradients(x, w, dy, dx, accumulate)
		} else {
			e.perBlock(w, dy, func(b *Param, dy *Tensor) {
				e.product(matmul.Product{
					M: b.Rows, N: k, K: tokens,
					A:      matmul.Operand{Kind: matmul.F32},
					B:      matmul.Operand{Kind: matmul.Int8},
					ScaleK: true, Accumulate: true, Gain: 64 * gain(tokens), // dy is scaled by a 127th of an activation
				}, wholes(dy, x.codes, x.scale, b.grad)...)
			})
			e.product(matmul.Product{
				M: tokens, N: k, K: n,
				A:      matmul.Operand{Kind: matmul.F32, AlongK: true},
				B:      matmul.Operand{Kind: matmul.Ternary},
				ScaleK: true, Accumulate: accumulate, Gain: 16 * gain(tokens), // dy is scaled by a mean weight
			}, wholes(dy, w.codes, w.scale, dx)...)
		}
		if residual != nil {
			e.passGrad(y, residual)
		}
	})
	return y
}

// perBlock emits what adds to the gradient of trained weights, [n, k], from that of
// their results, dy [tokens, n]: block by block where the weights lie in several, each
// with its columns of dy.
func (e *emitter) perBlock(w *Param, dy *Tensor, add func(b *Param, dy *Tensor)) {
	if w.frozen {
		return
	}
	for _, b := range w.stored() {
		if b == w {
			add(w, dy)
			continue
		}
		part := tensor("columns of a gradient", F32, dy.Rows, b.Rows)
		e.run(rows.Columns{Target: e.target, Rows: dy.Rows, Width: b.Rows, Of: dy.Cols, At: b.first, Factor: 1, Take: true}.Source(), dy, part)
		add(b, part)
	}
}

// integerGradients computes both gradients of BitLinear from int8 codes of dy:
//
//	dx[t] = s[t] sum_n code(dy[t, n] wscale[n] / s[t]) w[n]
//	dw[n] += s[n] sum_t code(dy[t, n] scale[t] / s[n]) q[t]
//
// with s a 127th of the largest magnitude of the row, and of the column.
func (e *emitter) integerGradients(x *Quantized, w *Param, dy, dx *Tensor, accumulate bool) {
	tokens, n, k := dy.Rows, dy.Cols, w.Cols
	codes := tensor("gradient codes", Int8, tokens, n)
	scale := tensor("gradient scale", F32, tokens, 1)
	e.run(quantize.Rows{Target: e.target, Tokens: tokens, Width: n, Factor: true, Gradient: true}.Source(), dy, w.scale, codes, scale)
	e.product(matmul.Product{
		M: tokens, N: k, K: n,
		A:        matmul.Operand{Kind: matmul.Int8, AlongK: true},
		B:        matmul.Operand{Kind: matmul.Ternary},
		RowScale: true, Accumulate: accumulate,
	}, wholes(codes, w.codes, scale, dx)...)
	e.perBlock(w, dy, func(b *Param, dy *Tensor) { e.integerWeights(x, b, dy) })
}

// integerWeights adds to the gradient of weights from int8 codes of dy.
func (e *emitter) integerWeights(x *Quantized, w *Param, dy *Tensor) {
	tokens, n, k := dy.Rows, dy.Cols, w.Cols
	// Without units for it, kernels of a CPU multiply float32 faster than codes that they have to unpack.
	columns := quantize.Columns{Target: e.target, Tokens: tokens, Width: n,
		Float: e.target != shaders.GPU && !e.limits.Units.Has("i8", "i32")}
	part := tensor("column maxima", F32, columns.Blocks(), n)
	scale := tensor("column scale", F32, 1, n)
	codes := tensor("column codes", Int8, tokens, n)
	mm := matmul.Product{
		Target: e.target, M: n, N: k, K: tokens,
		A: matmul.Operand{Kind: matmul.Int8}, B: matmul.Operand{Kind: matmul.Int8},
		RowScale: true, Accumulate: true,
	}
	if columns.Float {
		codes.DType, mm.A.Kind = F32, matmul.F32
	}
	e.run(columns.AbsMax(), dy, x.scale, part)
	e.run(columns.Scale(), part, scale)
	e.run(columns.Source(), dy, x.scale, scale, codes)
	if columns.Float {
		e.choose(mm, false, mm.Variants(e.limits.Units.WorkgroupMemory), wholes(codes, x.codes, scale, w.grad)...)
	} else {
		e.product(mm, wholes(codes, x.codes, scale, w.grad)...)
	}
}
