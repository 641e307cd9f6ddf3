package graph

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/gpu/gputest"
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

// The gradient of a gated activation's input takes the input's place, and is the same
// as in a place of its own.
func TestGatedGradientInPlace(t *testing.T) {
	gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
		for _, target := range []shaders.Target{shaders.GPU, TargetOf(dev.Adapter())} {
			for i, s := range [][2]int{{37, 20}, {5, 33}} {
				for _, act := range []Activation{SiLU, Relu2}[i:] {
					tokens, width := s[0], s[1]
					gradients := func(apart bool) ([]float32, []float32, int) {
						ps := NewParams(target, LimitsOf(dev.Adapter()))
						up, norm := ps.Ternary(8, Part{"gate", width}, Part{"up", width}), ps.Vector("norm", width)
						down := ps.Ternary(width, Part{"down", 12})
						require.NoError(t, ps.Layout(ForTraining))
						g := New(ps, 1, tokens)
						x, dy := g.input("x", F32, tokens, 8), g.input("dy", F32, tokens, 12)
						zero := g.input("zero", F32, tokens, 2*width)
						gu := g.BitLinear(g.Quantize(x), up, nil)
						y := g.BitLinear(g.GLUNormQuantize(gu, act, norm, 1e-5), down, nil)
						require.NoError(t, g.err)
						e := newEmitter(ps, true)
						e.grads[y] = dy
						if apart {
							e.grads[gu] = zero
						}
						g.forward(e)
						g.backward(e)
						scratch, err := layOut(e)
						require.NoError(t, err)
						for _, a := range []*arena{scratch, g.inputs} {
							require.NoError(t, a.allocate(dev))
							defer a.release()
						}
						require.NoError(t, ps.Allocate(dev))
						defer ps.Release()
						fillPoison(t, scratch)
						for i, p := range ps.All() {
							require.NoError(t, p.Write(Master, random(uint64(i), p.Rows, p.Cols).f32()))
						}
						require.NoError(t, ps.Quantize(dev))
						require.NoError(t, x.write(gpu.Bytes(random(7, tokens, 8).f32())))
						require.NoError(t, dy.write(gpu.Bytes(random(8, tokens, 12).f32())))
						require.NoError(t, zero.write(make([]byte, zero.bytes())))
						program, err := assemble(dev, "both", e.calls)
						require.NoError(t, err)
						defer program.Release()
						require.NoError(t, program.Run())
						ofUp, ofNorm := make([]float32, up.size()), make([]float32, norm.size())
						require.NoError(t, up.Read(Grad, ofUp))
						require.NoError(t, norm.Read(Grad, ofNorm))
						inPlace := 0
						for _, c := range e.calls {
							if strings.Contains(c.src.Label, "in place") {
								inPlace++
							}
						}
						return ofUp, ofNorm, inPlace
					}
					up, norm, inPlace := gradients(false)
					wantUp, wantNorm, none := gradients(true)
					require.Equal(t, []int{1, 0}, []int{inPlace, none})
					require.Equal(t, wantUp, up, "%dx%d", tokens, width)
					require.Equal(t, wantNorm, norm)
					require.NotZero(t, up[0])
				}
			}
		}
	})
}
