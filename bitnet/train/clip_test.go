package train

import (
	"context"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/runs"
)

// A run that clips groups logs the norm of each, which are parts of the norm of all,
// differs from one that clips all together, and resumes bit for bit, with AdamW and with
// Muon.
func TestClipGroups(t *testing.T) {
	dev := modeltest.Device(t)
	for _, optimizer := range []string{AdamW, Muon} {
		c := tiny(t)
		for _, s := range []string{"steps=8", "warmup_steps=2", "checkpoint_interval=0", "max_grad_norm=0.3", "optimizer=" + optimizer} {
			require.NoError(t, c.Set(s))
		}
		global := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "global"}, Events{})
		require.NoError(t, global.Train(context.Background()))
		require.NoError(t, c.Set("clip=group"))
		whole := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "whole"}, Events{})
		require.NoError(t, whole.Train(context.Background()))
		require.NotEqual(t, finalSum(t, global.Run.Dir, 8), finalSum(t, whole.Run.Dir, 8))
		for step, m := range metricsOf(t, whole.Run.Dir) {
			sum := 0.0
			for _, k := range groupNorms {
				require.True(t, m.Has(k), "%s of step %d", k, step)
				require.Positive(t, m.Get(k), k)
				sum += m.Get(k) * m.Get(k)
			}
			require.InEpsilon(t, m.Get(runs.GradNorm), math.Sqrt(sum), 1e-5)
		}
		m := metricsOf(t, global.Run.Dir)[8]
		require.False(t, m.Has(runs.GradNormEmbedding))
		run := stopAt(t, c, 3)
		rest := begin(t, c, dev, Start{Resume: run.Dir}, Events{})
		require.NoError(t, rest.Train(context.Background()))
		require.Equal(t, finalSum(t, whole.Run.Dir, 8), finalSum(t, run.Dir, 8))
	}
}

func TestClipIsChecked(t *testing.T) {
	for want, sets := range map[string][]string{
		`train.clip is "each": it must be global or group`:     {"clip=each"},
		"train.clip group is for train.moments f32: blocks of": {"clip=group", "moments=8bit"},
	} {
		c := tiny(t)
		for _, s := range sets {
			require.NoError(t, c.Set(s))
		}
		require.ErrorContains(t, c.Check(), want)
	}
	require.Equal(t, ClipGlobal, tiny(t).Train.Clip)
	c, err := ParseConfig("old", []byte("train: {steps: 5}"))
	require.NoError(t, err)
	require.Equal(t, ClipGlobal, c.Train.Clip, "configurations of earlier versions")
}
