package graph

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/shaders"
)

// onUnits says whether a plan computes products in a type on matrix units.
func onUnits(p *Plan, component string) bool {
	for _, c := range p.calls {
		if strings.HasSuffix(c.src.Label, " "+component) {
			return true
		}
	}
	return false
}

// Mixed precision leaves the ternary forward as it is, to the bit, and changes
// gradients by what rounding to 11 bits does, however small they are.
func TestMixedPrecision(t *testing.T) {
	onMatrixUnits(t, func(t *testing.T, dev *gpu.Device, units shaders.MatrixUnits) {
		const tokens, in, out = 70, 64, 48
		for _, size := range []float64{1, 1e-6} {
			dy := random(3, tokens, out)
			for i := range dy.v {
				dy.v[i] *= size / tokens
			}
			linear := opTest{
				batch: 1, seq: tokens, inputs: []matrix{random(1, tokens, in)}, params: []matrix{random(2, out, in)}, ternary: []int{out},
				dy:    dy,
				build: func(g *Graph, x []*Tensor, p []*Param) *Tensor { return g.BitLinear(g.Quantize(x[0]), p[0], nil) },
			}
			full := linear.run(t, dev, shaders.GPU)
			require.Equal(t, units.Has("i8", "i32"), onUnits(full.plan, "i8"), "an exact product is on matrix units in any precision")
			require.False(t, onUnits(full.plan, "f16"))
			linear.precision = Mixed
			mixed := linear.run(t, dev, shaders.GPU)
			require.True(t, onUnits(mixed.plan, "f16"))
			require.Equal(t, full.y, mixed.y)
			close16(t, "dx", full.dx[0], mixed.dx[0])
			close16(t, "dw", full.dp[0], mixed.dp[0])
		}

		const vocab = 300
		targets := make([]uint32, tokens)
		for i := range targets {
			targets[i] = uint32(i*7) % vocab
		}
		head := opTest{
			batch: 1, seq: tokens, inputs: []matrix{random(1, tokens, in)}, params: []matrix{random(2, vocab, in)}, targets: targets,
			build: func(g *Graph, x []*Tensor, p []*Param) *Tensor { g.Loss(x[0], p[0]); return nil },
		}
		full := head.run(t, dev, shaders.GPU)
		head.precision = Mixed
		mixed := head.run(t, dev, shaders.GPU)
		close16(t, "losses", full.y, mixed.y)
		close16(t, "dx", full.dx[0], mixed.dx[0])
		close16(t, "dtable", full.dp[0], mixed.dp[0])
	})
}

// close16 requires that two results differ by about the rounding of float16:
// something, but in the mean square at most 2e-3 of their size.
func close16(t *testing.T, name string, want, got []float64) {
	t.Helper()
	require.Len(t, got, len(want), name)
	size, difference := 0.0, 0.0
	for i := range want {
		size += want[i] * want[i]
		difference += (got[i] - want[i]) * (got[i] - want[i])
	}
	relative := math.Sqrt(difference / size)
	t.Logf("%s: relative difference %.2g", name, relative)
	require.Positive(t, relative, name)
	require.Less(t, relative, 2e-3, name)
}

func TestParsePrecision(t *testing.T) {
	for name, want := range map[string]Precision{"": Float32, "f32": Float32, "mixed": Mixed} {
		got, err := ParsePrecision(name)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := ParsePrecision("f64")
	require.ErrorContains(t, err, "choose one of f32, mixed")
	require.NoError(t, Limits{}.CheckPrecision(Float32))
	require.ErrorContains(t, Limits{}.CheckPrecision(Mixed), "--backend dawn")
}
