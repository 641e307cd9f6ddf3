package tune

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/gpu/gputest"
)

func TestMeasurePeak(t *testing.T) {
	gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
		p := newPeak(dev)
		p.span, p.repeats, p.bytes = time.Millisecond, 1, 4<<20
		rates, err := p.all(context.Background())
		require.NoError(t, err)
		seen := map[string]bool{}
		for _, r := range rates {
			t.Logf("%+v", r)
			seen[r.Name] = true
			require.NotEmpty(t, r.Unit, r.Name)
			if r.Median == 0 {
				require.NotEmpty(t, r.How, "no figure and no reason: %s", r.Name)
			}
		}
		for _, name := range []string{PeakFloat, PeakInt, PeakDot, PeakRead, PeakCopy, PeakDispatch, PeakRoundtrip} {
			require.True(t, seen[name], name)
		}
	})
}

// Without time, each rate is there all the same, from one layout, and says so.
func TestPeakWithoutTime(t *testing.T) {
	gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
		p := newPeak(dev)
		p.bytes = 4 << 20
		p.stopwatch = p.limited(1)
		rates, err := p.all(context.Background())
		require.NoError(t, err)
		cut := map[string]bool{}
		for _, r := range rates {
			require.True(t, r.Median > 0 || r.How != "", "no figure and no reason: %s", r.Name)
			cut[r.Name] = r.Cut
		}
		for _, name := range []string{PeakFloat, PeakInt, PeakRead, PeakCopy} {
			require.True(t, cut[name], "%s has several layouts", name)
		}
		for _, name := range []string{PeakDispatch, PeakRoundtrip} {
			require.Contains(t, cut, name)
		}
	})
}
