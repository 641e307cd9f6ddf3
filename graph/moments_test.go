package graph

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/gpu/gputest"
	"bitnet/shaders"
	"bitnet/shaders/optimizer"
)

// moments8Test are parameters on a device with an update of AdamW8: a matrix of
// several blocks, one of a part of a block, and a vector.
type moments8Test struct {
	t       *testing.T
	ps      *Params
	params  []*Param
	program *gpu.Program
}

var testAdamW8 = AdamW8{AdamW{Beta1: 0.9, Beta2: 0.95, Eps: 1e-8}}

func newMoments8Test(t *testing.T, dev *gpu.Device, target shaders.Target) *moments8Test {
	t.Helper()
	m := &moments8Test{t: t, ps: NewParams(target, LimitsOf(dev.Adapter()))}
	m.params = []*Param{m.ps.Matrix("embedding", 83, 61), m.ps.Ternary(37, Part{"w", 11}), m.ps.Vector("norm", 13)}
	require.NoError(t, m.ps.Layout(testAdamW8.Storage()))
	require.NoError(t, m.ps.Allocate(dev))
	t.Cleanup(m.ps.Release)
	e := newEmitter(m.ps, true)
	m.ps.emitUpdate(e, testAdamW8)
	scratch, err := layOut(e)
	require.NoError(t, err)
	require.NoError(t, scratch.allocate(dev))
	t.Cleanup(scratch.release)
	fillPoison(t, scratch)
	m.program, err = assemble(dev, "update", e.calls)
	require.NoError(t, err)
	t.Cleanup(m.program.Release)
	return m
}

func (m *moments8Test) read(p *Param, s Slot) []float32 {
	values := make([]float32, p.Rows*p.Cols)
	require.NoError(m.t, p.Read(s, values))
	return values
}

// wide are gradients over ten decades, as they are in a model, with some zeros.
func wide(seed uint64, n int) []float32 {
	rng := rand.New(rand.NewPCG(seed, 8))
	out := make([]float32, n)
	for i := range out {
		if i%29 != 0 {
			out[i] = float32(rng.NormFloat64() * math.Pow(10, -5*rng.Float64()))
		}
	}
	return out
}

// reference8 is a step of AdamW in float64, with moments that are rounded to 8 bits
// only once it is done.
type reference8 struct{ p, m, v []float64 }

func (r *reference8) step(g []float32, decay bool, s StepValues, clip float64) {
	c1, c2 := 1-math.Pow(s.Beta1, float64(s.Step+1)), 1-math.Pow(s.Beta2, float64(s.Step+1))
	for i := range r.p {
		grad := float64(g[i]) * clip
		r.m[i] = s.Beta1*r.m[i] + (1-s.Beta1)*grad
		r.v[i] = s.Beta2*r.v[i] + (1-s.Beta2)*grad*grad
		if decay {
			r.p[i] *= 1 - s.LearningRate*s.WeightDecay
		}
		r.p[i] -= s.LearningRate * r.m[i] / c1 / (math.Sqrt(r.v[i]/c2) + 1e-8)
	}
}

func floats64(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

// Each step is that of AdamW from the moments that are stored, and stores the new ones
// as codes: on every adapter, for both kinds of kernels, over several steps.
func TestAdamW8(t *testing.T) {
	gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
		for _, target := range []shaders.Target{shaders.GPU, shaders.CPU} {
			t.Run(fmt.Sprint(target), func(t *testing.T) {
				m := newMoments8Test(t, dev, target)
				for i, p := range m.params {
					require.NoError(t, p.Write(Master, wide(uint64(i), p.Rows*p.Cols)))
				}
				for step := range 4 {
					s := StepValues{Step: int64(step), LearningRate: 1e-2, WeightDecay: 0.1, LossTokens: 1, MaxNorm: 1, Beta1: 0.9, Beta2: 0.95}
					before, grads := make([]reference8, len(m.params)), make([][]float32, len(m.params))
					norm := 0.0
					for i, p := range m.params {
						grads[i] = wide(uint64(10*step+i), p.Rows*p.Cols)
						for _, g := range grads[i] {
							norm += float64(g) * float64(g)
						}
						require.NoError(t, p.Write(Grad, grads[i]))
						before[i] = reference8{floats64(m.read(p, Master)), floats64(m.read(p, FirstMoment)), floats64(m.read(p, SecondMoment))}
					}
					clip := math.Min(1, 1/math.Sqrt(norm))
					require.NoError(t, m.ps.SetStep(s))
					require.NoError(t, m.program.Run())
					for i, p := range m.params {
						want := before[i]
						want.step(grads[i], !p.IsVector(), s, clip)
						for j, got := range m.read(p, Master) {
							require.InDelta(t, want.p[j], got, 2e-5*(math.Abs(want.p[j])+s.LearningRate), "step %d: %s[%d]", step, p.Parts[0].Name, j)
						}
						requireRounded(t, want.m, m.read(p, FirstMoment), p.m8)
						requireRounded(t, want.v, m.read(p, SecondMoment), p.r8)
						require.Equal(t, make([]float32, p.Rows*p.Cols), m.read(p, Grad))
					}
				}
			})
		}
	})
}

// requireRounded checks that values are those of the codes of what they should be, or
// as near where the true value lies on the edge of two.
func requireRounded(t *testing.T, want []float64, got []float32, q *moment8) {
	t.Helper()
	for begin := 0; begin < len(want); begin += optimizer.MomentBlock {
		end := min(begin+optimizer.MomentBlock, len(want))
		most := 0.0
		for _, v := range want[begin:end] {
			most = max(most, math.Abs(v))
		}
		scale := most
		if q.root {
			scale = math.Sqrt(most)
		}
		for i := begin; i < end; i++ {
			x, y := want[i]/scale, float64(got[i])/scale
			if q.root {
				x, y = math.Sqrt(want[i])/scale, math.Sqrt(float64(got[i]))/scale
			}
			coded := float64(q.decode(q.encode(float32(want[i]), float32(scale))))
			require.InDelta(t, math.Abs(coded-x), math.Abs(y-x), 1e-5+1e-3*math.Abs(x), "value %d: %g, stored as %g, by its code %g", i, x, y, coded)
			if want[i] != 0 && q.root {
				require.Positive(t, got[i], "a second moment never becomes 0")
			}
		}
	}
}

// The values of the codes grow, no value is far from its code's, and what was read can
// be written back without a change: checkpoints resume to the bit.
func TestMomentCodes(t *testing.T) {
	for _, q := range []*moment8{{}, {root: true}} {
		last := 127
		if q.root {
			last = 255
		}
		require.Zero(t, q.decode(0))
		require.Equal(t, float32(1), q.decode(byte(last)))
		for k := 1; k <= last; k++ {
			require.Less(t, q.decode(byte(k-1)), q.decode(byte(k)))
		}
		rng := rand.New(rand.NewPCG(1, 2))
		for range 20000 {
			scale := float32(math.Pow(10, 12*rng.Float64()-9))
			x := math.Pow(10, -8*rng.Float64())
			v := float32(x) * scale
			if q.root {
				v = float32(x*x) * scale * scale
			}
			code := q.encode(v, scale)
			far := math.Abs(float64(q.decode(code)) - x)
			least, level := math.Ldexp(1, -3*(q.levels()-1)), math.Ceil(math.Log2(x)/3-1e-9)
			place := math.Ldexp(0.875, 3*int(level)) / math.Exp2(float64(q.levels())+level)
			require.LessOrEqual(t, far, max(place/2, 0.35*least)*1.001, "x=%g code %d", x, code)
			back := q.decode(code) * scale
			if q.root {
				back *= back
			}
			require.Equal(t, code, q.encode(back, scale))
			if !q.root && code != 0 {
				require.Equal(t, code|128, q.encode(-v, scale))
			}
		}
	}
}

func TestMomentsReadAndWrittenBackAreTheSame(t *testing.T) {
	gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
		m := newMoments8Test(t, dev, TargetOf(dev.Adapter()))
		for step := range 3 {
			for i, p := range m.params {
				require.NoError(t, p.Write(Grad, wide(uint64(10*step+i), p.Rows*p.Cols)))
			}
			require.NoError(t, m.ps.SetStep(StepValues{Step: int64(step), LearningRate: 1e-2, LossTokens: 1, MaxNorm: 1, Beta1: 0.9, Beta2: 0.95}))
			require.NoError(t, m.program.Run())
		}
		state := func() (words [][]uint32) {
			for _, a := range []*arena{m.ps.ms, m.ps.vs} {
				words = append(words, readWords(t, a)...)
			}
			return words
		}
		before := state()
		for _, p := range m.params {
			for _, s := range []Slot{FirstMoment, SecondMoment} {
				values := m.read(p, s)
				require.NoError(t, p.Write(s, make([]float32, len(values))))
				require.Equal(t, make([]float32, len(values)), m.read(p, s))
				require.NoError(t, p.Write(s, values))
				rows := make([]float32, p.Cols)
				require.NoError(t, p.ReadRows(s, p.Rows-1, rows))
				require.Equal(t, values[len(values)-p.Cols:], rows)
			}
		}
		require.Equal(t, before, state())
		bad := make([]float32, m.params[0].size())
		bad[5] = -1
		require.Error(t, m.params[0].Write(SecondMoment, bad))
		bad[5] = float32(math.NaN())
		require.Error(t, m.params[0].Write(FirstMoment, bad))
		require.Error(t, m.params[0].ReadRows(FirstMoment, m.params[0].Rows, make([]float32, 1)))
		require.ErrorContains(t, m.ps.ReadFlat(FirstMoment, 0, make([]float32, 1)), "8 bits")
		require.True(t, slices.ContainsFunc(m.params, func(p *Param) bool { return p.Keeps(SecondMoment) }))
	})
}
