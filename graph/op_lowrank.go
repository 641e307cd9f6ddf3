package graph

import (
	"bitnet/shaders/matmul"
	"bitnet/shaders/rows"
)

// LowRank adds the product of x [tokens, k] with a matrix of low rank to some columns
// of y, from column at on, in place:
//
//	y[t, at + n] += scale sum_j b[n, j] sum_i a[j, i] x[t, i]
//
// with a [r, k] and b [n, r] (Hu et al., LoRA: Low-Rank Adaptation of Large Language
// Models, arXiv 2106.09685). Everything is computed in float32, whatever the precision
// of other products is. Nothing may have read y before.
func (g *Graph) LowRank(y, x *Tensor, a, b *Param, at int, scale float32) {
	l := lowRank{y: y, x: x, a: a, b: b, at: at, scale: scale, tokens: x.Rows, rank: a.Rows, k: a.Cols, n: b.Rows}
	if l.k != x.Cols || b.Cols != l.rank || y.Rows != l.tokens || at < 0 || at+l.n > y.Cols {
		g.fail("%s [%d, %d] and %s [%d, %d] do not lead from %d features to the columns from %d on of %d",
			a.Parts[0].Name, a.Rows, a.Cols, b.Parts[0].Name, b.Rows, b.Cols, x.Cols, at, y.Cols)
		return
	}
	l.inner = tensor("low rank", F32, l.tokens, l.rank)
	g.add("low rank", l.forward, l.backward)
}

type lowRank struct {
	y, x, inner        *Tensor
	a, b               *Param
	at                 int
	scale              float32
	tokens, rank, k, n int
}

// columns moves a part [tokens, n] to y or, with take, from its gradient.
func (l *lowRank) columns(e *emitter, take bool) rows.Columns {
	return rows.Columns{Target: e.target, Rows: l.tokens, Width: l.n, Of: l.y.Cols, At: l.at, Factor: l.scale, Take: take}
}

func (l *lowRank) forward(e *emitter) {
	part := tensor("low rank part", F32, l.tokens, l.n)
	along := matmul.Operand{Kind: matmul.F32, AlongK: true}
	e.unrounded(matmul.Product{M: l.tokens, N: l.rank, K: l.k, A: along, B: along}, l.x, l.a.master, l.inner)
	e.unrounded(matmul.Product{M: l.tokens, N: l.n, K: l.rank, A: along, B: along}, l.inner, l.b.master, part)
	e.run(l.columns(e, false).Source(), part, l.y)
}

// backward computes, with d = scale dy of the columns:
//
//	db += d^T inner,  dinner = d b,  da += dinner^T x,  dx += dinner a
func (l *lowRank) backward(e *emitter) {
	part := tensor("low rank part grad", F32, l.tokens, l.n)
	inner := tensor("low rank grad", F32, l.tokens, l.rank)
	along, across := matmul.Operand{Kind: matmul.F32, AlongK: true}, matmul.Operand{Kind: matmul.F32}
	e.run(l.columns(e, true).Source(), e.grad(l.y), part)
	e.unrounded(matmul.Product{M: l.n, N: l.rank, K: l.tokens, A: across, B: across, Accumulate: true}, part, l.inner, l.b.grad)
	e.unrounded(matmul.Product{M: l.tokens, N: l.rank, K: l.n, A: along, B: across}, part, l.b.master, inner)
	e.unrounded(matmul.Product{M: l.rank, N: l.k, K: l.tokens, A: across, B: across, Accumulate: true}, inner, l.x, l.a.grad)
	dx, accumulate := e.gradOut(l.x)
	e.unrounded(matmul.Product{M: l.tokens, N: l.k, K: l.rank, A: along, B: across, Accumulate: accumulate}, inner, l.a.master, dx)
}

// unrounded emits a product of float32 factors that no precision rounds.
func (e *emitter) unrounded(mm matmul.Product, args ...*Tensor) {
	e.unroundedRows(mm, wholes(args...)...)
}

// unroundedRows does the same over rows of tensors.
func (e *emitter) unroundedRows(mm matmul.Product, args ...arg) {
	mm.Target = e.target
	if mm.M <= fewRows {
		e.runRows(mm.Source(), args...)
		return
	}
	e.choose(mm, false, mm.Variants(e.limits.Units.WorkgroupMemory), args...)
}
