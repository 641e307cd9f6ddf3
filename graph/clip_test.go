package graph

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/gpu/gputest"
	"bitnet/shaders"
)

// byKind are three groups whose parameters do not lie one after another.
func byKind(p *Param) string {
	switch {
	case p.IsVector():
		return "vectors"
	case p.IsTernary() && p.Cols == 20:
		return "wide"
	}
	return "rest"
}

// Each group is clipped by its own norm, as float64 does it, with AdamW and with Muon.
func TestClipByGroups(t *testing.T) {
	gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
		for name, opt := range map[string]Optimizer{"adamw": AdamW{0.9, 0.95, 1e-8}, "muon": checkedMuon} {
			r, err := newUpdateRun(dev, TargetOf(dev.Adapter()), opt, byKind, [][2]int{{12, 20}}, [][2]int{{8, 16}}, [][2]int{{4, 20}})
			require.NoError(t, err)
			t.Cleanup(r.release)
			squares := map[string]float64{}
			grads := map[*Param][]float64{}
			for i, p := range r.params {
				g := random(uint64(i+1), p.Rows, p.Cols)
				grads[p] = widen(g.f32())
				require.NoError(t, p.Write(Grad, g.f32()))
				for _, v := range grads[p] {
					squares[byKind(p)] += v * v
				}
			}
			limit := math.Sqrt(squares["wide"]) / 2 // clips this group, and not that of vectors
			require.Less(t, math.Sqrt(squares["vectors"]), limit)
			norm, err := r.update(StepValues{Step: HistorySlots + 5, LearningRate: 0.01, MaxNorm: limit, Beta1: 0.9, Beta2: 0.95})
			require.NoError(t, err)
			all := 0.0
			got, err := r.ps.GroupNorms(HistorySlots + 5)
			require.NoError(t, err)
			require.Len(t, got, 3)
			for _, g := range got {
				require.InEpsilon(t, math.Sqrt(squares[g.Name]), g.Norm, 1e-5, "%s: %s", name, g.Name)
				all += squares[g.Name]
			}
			require.InEpsilon(t, math.Sqrt(all), norm, 1e-5, "the norm that is logged is that of all")
			for _, p := range r.params {
				clip := min(1, limit/(math.Sqrt(squares[byKind(p)])+1e-6))
				ofGradient := 0.1 // of AdamW's first moment
				if p.IsTernary() && !p.Keeps(SecondMoment) {
					ofGradient = 1
				}
				want := slices.Clone(grads[p])
				for i := range want {
					want[i] *= clip * ofGradient
				}
				m := make([]float32, p.size())
				require.NoError(t, p.Read(FirstMoment, m))
				near(t, name+" "+p.Parts[0].Name, want, widen(m), exact32)
			}
		}
	})
}

// Groups are chosen at the right time, for storage that can clip by them.
func TestClipByIsChecked(t *testing.T) {
	declare := func() *Params {
		ps := NewParams(shaders.GPU, Limits{Binding: 1 << 20, Buffer: 1 << 20})
		ps.Matrix("embedding", 4, 4)
		return ps
	}
	ps := declare()
	require.ErrorContains(t, ps.ClipBy(byKind), "call Layout first")
	require.NoError(t, ps.Layout(ForTraining))
	require.NoError(t, ps.ClipBy(byKind))
	require.ErrorContains(t, ps.ClipBy(byKind), "chosen once")
	for _, s := range []Storage{ForTraining8, ForInference} {
		ps := declare()
		require.NoError(t, ps.Layout(s))
		require.ErrorContains(t, ps.ClipBy(byKind), "groups are clipped with training")
	}
}

// One group of all parameters changes them as no groups do, to the bit.
func TestOneGroupIsAll(t *testing.T) {
	gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
		var masters [2][]float32
		for i, by := range []func(*Param) string{nil, func(*Param) string { return "all" }} {
			r, err := newUpdateRun(dev, TargetOf(dev.Adapter()), AdamW{0.9, 0.95, 1e-8}, by, [][2]int{{12, 20}})
			require.NoError(t, err)
			t.Cleanup(r.release)
			for j, p := range r.params {
				require.NoError(t, p.Write(Grad, random(uint64(j+1), p.Rows, p.Cols).f32()))
			}
			_, err = r.update(StepValues{LearningRate: 0.01, MaxNorm: 1, Beta1: 0.9, Beta2: 0.95})
			require.NoError(t, err)
			masters[i] = make([]float32, r.ps.Count())
			require.NoError(t, r.ps.ReadFlat(Master, 0, masters[i]))
		}
		require.Equal(t, masters[0], masters[1])
	})
}
