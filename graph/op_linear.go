package graph

import "bitnet/shaders/matmul"

// Linear multiplies x [tokens, k] with float weights w [n, k] and adds residual
// [tokens, n] if it is not nil:
//
//	y[t, n] = sum_k x[t, k] w[n, k] + residual[t, n]
//
// It is computed in float32, whatever the precision of other products is. It has no
// gradient: use it in Graph.Beside.
func (g *Graph) Linear(x *Tensor, w *Param, residual *Tensor) *Tensor {
	tokens, n, k := x.Rows, w.Rows, w.Cols
	if x.Cols != k || w.ternary {
		g.fail("%s [%d, %d] cannot multiply %d features in float32", w.Parts[0].Name, n, k, x.Cols)
	}
	y := tensor("linear", F32, tokens, n)
	g.add("linear", func(e *emitter) {
		along := matmul.Operand{Kind: matmul.F32, AlongK: true}
		e.inOneBinding(w)
		args := []*Tensor{x, w.master}
		if residual != nil {
			args = append(args, residual)
		}
		e.unrounded(matmul.Product{M: tokens, N: n, K: k, A: along, B: along, Residual: residual != nil}, append(args, y)...)
	}, withoutGradient)
	return y
}

// withoutGradient is the backward pass of operations that only Graph.Beside may use.
func withoutGradient(e *emitter) { e.fail("it has no gradient: declare it in Graph.Beside") }
