package graph

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/shaders"
	"bitnet/shaders/quantize"
)

// onUnits reports whether a plan computes products in a type on matrix units.
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
			linear := trial{
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
		head := trial{
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
	relative := difference(want, got)
	t.Logf("%s: relative difference %.2g", name, relative)
	require.Positive(t, relative, name)
	require.Less(t, relative, 2e-3, name)
}

func TestRoundHalf(t *testing.T) {
	x := random(1, 9, 37)
	for i := range x.v { // over the whole range, and all borders
		x.v[i] = float64(float32(math.Ldexp(x.v[i], i%48-28)))
	}
	for i, v := range []float64{0, 1, -1, 65504, 65519.99, 65520, -65520, 1e30, math.Inf(1), math.Ldexp(1, -14), math.Ldexp(1, -24), math.Ldexp(1, -25),
		math.Ldexp(1.5, -24), math.Ldexp(1.5, -25), math.Ldexp(2.5, -24), 1 + math.Ldexp(1, -11), 1 + math.Ldexp(3, -11), math.Ldexp(2047, -25), 1e-30} {
		x.v[i] = float64(float32(v))
	}
	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		for _, k := range []quantize.Half{{}, {Gain: 4096}, {ByRow: true, Gain: 64}, {ByCol: true, Gain: 1.0 / 32}} {
			k.Target, k.Rows, k.Cols = target, x.rows, x.cols
			size := x.cols
			if k.ByRow {
				size = x.rows
			}
			f := random(2, 1, size)
			for i := range f.v {
				f.v[i] = power(f.v[i])
			}
			src := k.Source()
			in, ft, y := tensor("x", F32, x.rows, x.cols), tensor("f", F32, 1, size), tensor("y", F32, x.rows, x.cols)
			tensors := []*Tensor{in, ft, y}
			if !k.ByRow && !k.ByCol {
				tensors = []*Tensor{in, y}
			}
			a := &arena{name: "test", limit: 1 << 20}
			runCalls(t, dev, a, target, tensors, func(e *emitter) { e.run(src, tensors...) }, func() {
				require.NoError(t, in.write(gpu.Bytes(x.f32())))
				if len(tensors) == 3 {
					require.NoError(t, ft.write(gpu.Bytes(f.f32())))
				}
			})
			got := make([]float32, len(x.v))
			require.NoError(t, y.read(gpu.Bytes(got)))
			a.release()
			for i, v := range x.v {
				lift := float64(k.Gain)
				if lift == 0 {
					lift = 1
				}
				switch {
				case k.ByRow:
					v *= f.v[i/x.cols]
				case k.ByCol:
					v *= f.v[i%x.cols]
				}
				require.Equal(t, half(v*lift)/lift, float64(got[i]), "%+v: %v", k, v)
			}
		}
	})
}

// The gradients of each precision are those of the rounded factors: in float16
// everywhere, or with codes of int8.
func TestPrecisions(t *testing.T) {
	for _, size := range []float64{1, 1e-7} {
		onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
			var v verdict
			require.NoError(t, checkLinear(dev, target, linearTrial(size), &v))
			require.NoError(t, v.err)
			require.Positive(t, v.share)
			t.Logf("%.2g of the difference that is allowed", v.share)
		})
	}
}

func TestParsePrecision(t *testing.T) {
	for name, want := range map[string]Precision{"": Float32, "f32": Float32, "mixed": Mixed, "int8": IntegerGradients} {
		got, err := ParsePrecision(name)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := ParsePrecision("f64")
	require.ErrorContains(t, err, "choose one of auto, f32, mixed, int8")
	for units, want := range map[string][3]bool{"": {true, false, false}, "f16 f32": {true, true, true}, "i8 i32": {true, false, true}} {
		var l Limits
		if c, r, ok := strings.Cut(units, " "); ok {
			l.Units.Shapes = []shaders.MatrixShape{{M: 8, N: 8, K: 8, Component: c, Result: r}}
		}
		for p := range Precisions {
			require.Equal(t, want[p], l.Speeds(Precision(p)), "%s with %q", Precision(p), units)
		}
		for target, auto := range map[shaders.Target]Precision{shaders.GPU: Mixed, shaders.CPU: Float32, shaders.CPUTable: Float32} {
			if !want[Mixed] {
				auto = Float32
			}
			ps := NewParams(target, l)
			require.NoError(t, ps.SetPrecision(AutoPrecision))
			require.Equal(t, auto, ps.Precision, "auto on %s with %q", target, units)
			require.NoError(t, ps.SetPrecision("int8"))
			require.Equal(t, IntegerGradients, ps.Precision)
			require.ErrorContains(t, ps.SetPrecision("f64"), "choose one of auto")
		}
	}
}
