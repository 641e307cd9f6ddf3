package graph

import (
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/shaders"
)

// The forward pass of a gated activation keeps its input and the codes for the
// backward pass, but no floats of the width of the activation.
func TestGatedActivationIsNotStored(t *testing.T) {
	const tokens, hidden, width = 64, 16, 40
	ps := NewParams(shaders.GPU, Limits{Binding: 1 << 30, Buffer: 1 << 30})
	first, up := ps.Vector("norm", hidden), ps.Ternary(hidden, Part{"gate", width}, Part{"up", width})
	second, down := ps.Vector("norm", width), ps.Ternary(width, Part{"down", hidden})
	require.NoError(t, ps.Layout(ForTraining))
	g := New(ps, 1, tokens)
	x := g.input("x", F32, tokens, hidden)
	y := g.BitLinear(g.GLUNormQuantize(g.BitLinear(g.NormQuantize(x, first, 1e-5), up, nil), SiLU, second, 1e-5), down, nil)
	require.NoError(t, g.err)
	e := newEmitter(ps, true)
	e.grads[y] = g.input("dy", F32, tokens, hidden)
	g.forward(e)
	backward := len(e.calls)
	g.backward(e)
	_, err := layOut(e)
	require.NoError(t, err)

	kept := map[DType][]int{} // widths
	for t := range tensors(e.calls) {
		if t.used && t.first < backward && t.last >= backward {
			kept[t.DType] = append(kept[t.DType], t.Cols)
		}
	}
	require.ElementsMatch(t, []int{1, 1, 1, 1, 2 * width}, kept[F32], "two rstd, two scales, gate and up")
	require.ElementsMatch(t, []int{hidden, width}, kept[Int8], "codes of both norms")
}

func tensors(calls []call) map[*Tensor]bool {
	all := map[*Tensor]bool{}
	for _, c := range calls {
		for _, a := range c.args {
			all[a.t] = true
		}
	}
	return all
}
