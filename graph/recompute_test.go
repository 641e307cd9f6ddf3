package graph

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/gpu/gputest"
	"bitnet/shaders"
)

// deep has enough layers that what their backward passes need is worth dropping.
var deep = benchShape{layers: 6, hidden: 20, ffn: 28, vocab: 24, batch: 2, seq: 8, heads: Heads{2, 1, 12}}

// stepBytes is what a step holds, and how much of it are activations.
func stepBytes(p *Plan) (all, activations int64) {
	for _, m := range p.Memory() {
		all += m.Bytes
	}
	return all, p.activations.size()
}

func deepPlan(t testing.TB, target shaders.Target, limit int64) (*Plan, error) {
	ps := NewParams(target, Limits{Binding: 1 << 30, Buffer: 1 << 30})
	g := benchModel(ps, deep)
	g.LimitMemory(limit)
	require.NoError(t, ps.Layout(ForTraining))
	return g.PlanTraining(AdamW{0.9, 0.95, 1e-8})
}

// fewest is the least bound that a step of deep meets, whatever it computes again.
func fewest(t *testing.T, target shaders.Target) int64 {
	p, err := deepPlan(t, target, KeepFew)
	require.NoError(t, err)
	limit, _ := stepBytes(p)
	for {
		if _, err := deepPlan(t, target, limit-256); err != nil {
			return limit
		}
		limit -= 256
	}
}

// Steps that compute activations again give the same bits as those that keep them,
// for every bound, on every adapter, whole and in segments.
func TestRecomputedStepsAreTheSame(t *testing.T) {
	gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
		run := func(limit int64, pieces int) (m *machine, states []any) {
			m = newMachineOf(t, dev, LimitsOf(dev.Adapter()), AdamW{0.9, 0.95, 1e-8}, deep, limit, Float32)
			for step := range 2 {
				m.begin(step, 2)
				m.load(2 * step)
				require.NoError(t, m.p.MicroBatch())
				m.load(2*step + 1)
				if pieces == 0 {
					require.NoError(t, m.p.Step())
				} else {
					segments, err := m.p.Segments(pieces)
					require.NoError(t, err)
					for _, s := range segments {
						require.NoError(t, s.Run())
					}
					require.NoError(t, m.p.Update())
				}
				states = append(states, m.state(step)...)
			}
			return m, states
		}
		keep, want := run(KeepAll, 0)
		all, activations := stepBytes(keep.p.plan)
		for _, limit := range []int64{all - activations/10, all - activations*3/10, KeepFew} {
			m, got := run(limit, 0)
			require.Equal(t, want, got, "at most %d of %d bytes", limit, all)
			require.Positive(t, m.p.plan.Again())
			require.Equal(t, keep.p.plan.FlopsPerToken(), m.p.plan.FlopsPerToken(), "what is computed again is no progress")
		}
		few, _ := run(KeepFew, 0)
		limit := fewest(t, few.ps.Target)
		m, got := run(limit, 0)
		require.Equal(t, want, got, "with gaps closed: at most %d of %d bytes", limit, all)
		_, without := stepBytes(few.p.plan)
		_, with := stepBytes(m.p.plan)
		require.Less(t, with, without)
		_, got = run(KeepFew, 3)
		require.Equal(t, want, got, "in segments")
	})
}

// A bound is kept, costs no more than it must, and is refused where it cannot be met.
func TestActivationsAreBounded(t *testing.T) {
	for _, target := range []shaders.Target{shaders.GPU, shaders.CPU} {
		t.Run(fmt.Sprint(target), func(t *testing.T) {
			keep, err := deepPlan(t, target, KeepAll)
			require.NoError(t, err)
			require.Zero(t, keep.Again())
			all, activations := stepBytes(keep)
			roomy, err := deepPlan(t, target, all)
			require.NoError(t, err)
			require.Zero(t, roomy.Again(), "nothing is computed again without need")
			least, err := deepPlan(t, target, KeepFew)
			require.NoError(t, err)
			floor, few := stepBytes(least)
			require.Less(t, few, activations*6/10)
			require.Less(t, least.Again(), 0.35, "at most about one more forward pass")
			before := 0.0
			for _, share := range []float64{0.9, 0.75, 0.6} {
				limit := all - activations + int64(share*float64(activations))
				p, err := deepPlan(t, target, limit)
				require.NoError(t, err)
				needs, _ := stepBytes(p)
				require.LessOrEqual(t, needs, limit)
				require.GreaterOrEqual(t, p.Again(), before)
				before = p.Again()
			}
			require.LessOrEqual(t, before, least.Again())
			_, err = deepPlan(t, target, floor-few/2)
			require.ErrorContains(t, err, "at least")
			_, err = deepPlan(t, target, (all-activations)/2)
			require.ErrorContains(t, err, "the parameters alone")
		})
	}
}

// What is computed again for two calls, with the one that needs the most memory between
// them, is computed twice rather than held.
func TestGapsAreClosed(t *testing.T) {
	write := func(name string, bytes int) *Tensor { return tensor(name, F32, 1, bytes/4) }
	use := func(op string, again bool, out *Tensor, in ...*Tensor) call {
		c := call{op: op, again: again, args: []arg{whole(out)}, src: shaders.Source{Writes: []bool{true}}}
		for _, t := range in {
			c.args, c.src.Writes = append(c.args, whole(t)), append(c.src.Writes, false)
		}
		return c
	}
	x, y, z, dz, dy, dx := write("x", 1024), write("y", 8192), write("z", 2048), write("dz", 65536), write("dy", 1024), write("dx", 1024)
	calls := []call{
		use("input", false, x), // the forward pass, which ends here
		use("y", true, y, x),
		use("z", true, z, y),
		use("dz", false, dz, z),
		use("dy", false, dy, dz),
		use("dx", false, dx, dy, y, x),
	}
	size := func(calls []call) (int64, error) { return packedSize(calls, Limits{Buffer: 1 << 20}) }
	sizes, got, err := closings(calls, KeepFew, size)
	require.NoError(t, err)
	var ops []string
	for _, c := range got {
		ops = append(ops, c.op)
	}
	require.Equal(t, []string{"input", "y", "z", "dz", "dy", "y", "dx"}, ops)
	before, err := size(calls)
	require.NoError(t, err)
	require.Equal(t, []int64{before, before - 8192}, sizes)
	require.True(t, got[5].again)
	require.Same(t, got[5].args[0].t, got[6].args[2].t)
	require.NotSame(t, y, got[5].args[0].t)
	require.Same(t, y, calls[5].args[2].t, "the calls that were given stay as they are")

	// Not where what it is computed from is overwritten meanwhile, by a gradient.
	calls[4] = use("dy", false, x, dz)
	calls[5] = use("dx", false, dx, x, y)
	sizes, got, err = closings(calls, KeepFew, size)
	require.NoError(t, err)
	require.Equal(t, calls, got)
	require.Len(t, sizes, 1)
}
