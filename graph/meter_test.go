package graph

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/gpu/gputest"
)

// The meter records the norm of what micro-batches have summed so far, for each step
// its own, and a micro-batch that is discarded leaves no trace in the step.
func TestGradientMeter(t *testing.T) {
	gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
		with, without := newMachine(t, dev, LimitsOf(dev.Adapter())), newMachine(t, dev, LimitsOf(dev.Adapter()))
		meter, err := with.ps.NewGradientMeter(dev)
		require.NoError(t, err)
		t.Cleanup(meter.Release)
		norm := func() float64 {
			values := make([]float32, with.ps.Count())
			require.NoError(t, with.ps.ReadFlat(Grad, 0, values))
			sum := 0.0
			for _, v := range values {
				sum += float64(v) * float64(v)
			}
			return math.Sqrt(sum)
		}
		steps := []int64{HistorySlots - 1, HistorySlots} // the last place and the first
		var want []float64
		for _, step := range steps {
			for _, m := range []*machine{with, without} {
				m.begin(int(step), 2)
			}
			with.load(7) // a part of it, alone
			require.NoError(t, with.p.MicroBatch())
			require.NoError(t, meter.Measure())
			want = append(want, norm())
			require.NoError(t, meter.Discard())
			require.Zero(t, norm())
			for _, m := range []*machine{with, without} {
				m.load(int(step))
				require.NoError(t, m.p.MicroBatch())
				m.load(int(step) + 1)
				require.NoError(t, m.p.Step())
			}
			require.Equal(t, without.result(int(step)), with.result(int(step)), "norm and loss of the step")
		}
		got, err := meter.Norms(steps)
		require.NoError(t, err)
		for i := range steps {
			require.InEpsilon(t, want[i], got[i], 1e-5)
		}
		require.NotEqual(t, got[0], got[1])
		masters := make([][]float32, 2)
		for i, m := range []*machine{with, without} {
			masters[i] = make([]float32, m.ps.Count())
			require.NoError(t, m.ps.ReadFlat(Master, 0, masters[i]))
		}
		require.Equal(t, masters[1], masters[0])
	})
	ps := NewParams(0, Limits{Binding: 1 << 20, Buffer: 1 << 20})
	_, err := ps.NewGradientMeter(nil)
	require.ErrorContains(t, err, "call Layout first")
}
