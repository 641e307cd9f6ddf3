package train

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/runs"
)

// A run that quantises gradually resumes to the bit, within its ramp and after it. After
// it, it is a run without one: the program of its steps is the same.
func TestRampResumes(t *testing.T) {
	settings := []string{"quantize_ramp=6", "steps=10", "checkpoint_interval=1", "keep_checkpoints=20", "learning_rate=1e-2", "eval_interval=5", "eval_samples=2"}
	c := tiny(t)
	for _, s := range settings {
		require.NoError(t, c.Set(s), s)
	}
	sums := func(run *Trainer) map[string]runs.FileSum {
		s, err := runs.ReadState(run.Run.CheckpointDir(10))
		require.NoError(t, err)
		delete(s.Files, configName)
		return s.Files
	}
	run := trainedRun(t, c, Start{})
	want := sums(run)
	lines := metricsOf(t, run.Run.Dir)
	for step, share := range map[int64]float64{1: 0, 4: 0.5, 6: 5. / 6, 7: 1, 10: 1} {
		require.InDelta(t, share, lines[step].Get(runs.Ramp), 1e-12)
	}
	resume := func(step int64, change ...string) map[string]runs.FileSum {
		from := run.Run.CheckpointDir(step)
		saved, err := LoadConfig(filepath.Join(from, configName))
		require.NoError(t, err)
		for _, s := range change {
			require.NoError(t, saved.Set(s))
		}
		return sums(trainedRun(t, saved, Start{RunsDir: filepath.Dir(run.Run.Dir), Resume: from}))
	}
	require.Equal(t, want, resume(6, "quantize_ramp=0"), "after the ramp nothing is left of it")
	require.Equal(t, want, resume(3))

	c = tiny(t)
	for _, s := range append(settings, "quantize_ramp=0") {
		require.NoError(t, c.Set(s), s)
	}
	plain := trainedRun(t, c, Start{})
	require.NotEqual(t, want, sums(plain))
	require.NotEqual(t, lines[1].Get(runs.Loss), metricsOf(t, plain.Run.Dir)[1].Get(runs.Loss), "the first step is one in float")
	require.False(t, metricsOf(t, plain.Run.Dir)[1].Has(runs.Ramp))
}

func TestRampRefuses(t *testing.T) {
	for _, row := range []struct {
		settings []string
		why      string
	}{
		{[]string{"quantize_ramp=-1"}, "must be a number of steps"},
		{[]string{"quantize_ramp=30"}, "leaves none of the 30 steps"},
		{[]string{"quantize_ramp=3", "lora=r=2"}, "leave out one of the two"},
		{[]string{"quantize_ramp=3", "precision=int8"}, "use f32, mixed or auto"},
	} {
		c := tiny(t)
		for _, s := range row.settings {
			require.NoError(t, c.Set(s))
		}
		require.ErrorContains(t, c.Check(), row.why)
	}
	c := tiny(t)
	require.NoError(t, c.Set("quantize_ramp=3"))
	require.NoError(t, c.Check())
	require.NoError(t, c.Set("precision=mixed"))
	_, plan, err := Plan(c, modeltest.Device(t).Adapter())
	require.NoError(t, err)
	require.NotEmpty(t, plan.Memory())
}
