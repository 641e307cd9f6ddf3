package graph

import (
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/gpu/gputest"
)

// The checks that a user can run pass, and every family of kernels that training
// needs is among them.
func TestChecks(t *testing.T) {
	gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
		checked := map[string]bool{}
		for _, c := range Checks(dev.Adapter()) {
			got, err := c.Run(dev)
			require.NoError(t, err)
			require.Empty(t, got.Fault, c.Name)
			require.Equal(t, c.Name, got.Name)
			require.NotEmpty(t, got.Families, c.Name)
			for _, f := range got.Families {
				checked[f] = true
			}
		}
		for _, p := range []Precision{Float32, Mixed, IntegerGradients} {
			for _, opt := range []Optimizer{AdamW{0.9, 0.95, 1e-8}, checkedMuon} {
				ps := NewParams(TargetOf(dev.Adapter()), LimitsOf(dev.Adapter()))
				ps.Precision = p
				g := benchModel(ps, benchShape{layers: 1, hidden: 768, ffn: 3072, vocab: 32000, batch: 16, seq: 256, heads: Heads{12, 6, 64}})
				require.NoError(t, ps.Layout(opt.Storage()))
				plan, err := g.PlanTraining(opt)
				require.NoError(t, err)
				for _, s := range plan.Sources() {
					require.True(t, checked[s.Family], "no check runs %s, which %s in %s needs", s.Family, s.Label, p)
				}
			}
		}
	})
}

// A check says what is wrong, and never that NaN is right.
func TestCheckFindsFaults(t *testing.T) {
	nan := random(1, 1, 3).v
	nan[1] /= 0 * nan[0]
	for name, row := range map[string]struct {
		got   []float64
		fault string
	}{
		"right":     {[]float64{1, -2, 3}, ""},
		"rounded":   {[]float64{1, -2, 3.00001}, ""},
		"wrong":     {[]float64{1, -2.1, 3}, "y[1] = -2.1, want -2"},
		"NaN":       {[]float64{1, nan[1] - nan[1], 3}, "y[1] = NaN, want -2"},
		"too short": {[]float64{1, -2}, "y has 2 values, not 3"},
	} {
		c := Check{"it", func(_ *gpu.Device, v *verdict) error {
			v.near("y", []float64{1, -2, 3}, row.got, 1e-5)
			return nil
		}}
		got, err := c.Run(nil)
		require.NoError(t, err)
		if row.fault == "" {
			require.Empty(t, got.Fault, name)
			require.LessOrEqual(t, got.Share, 1.0)
			continue
		}
		require.Contains(t, got.Fault, row.fault, name)
	}
}
