package train

import (
	"bufio"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/runs"
)

// stepsOf are the steps of the lines of a log.
func stepsOf(t testing.TB, run, log string) (steps []int64) {
	t.Helper()
	f, err := os.Open(filepath.Join(run, "logs", log+".jsonl"))
	require.NoError(t, err)
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var line struct{ Step int64 }
		require.NoError(t, json.Unmarshal(s.Bytes(), &line))
		steps = append(steps, line.Step)
	}
	return steps
}

// A run that is stopped where an evaluation and samples are due leaves them out, and
// makes them when it is resumed; its lines of metrics average the same steps as those
// of a run that was not stopped.
func TestInterruptedLogsAreWhole(t *testing.T) {
	dev := modeltest.Device(t)
	c := tiny(t)
	for _, s := range []string{"steps=20", "log_interval=7", "eval_interval=5", "sample_interval=5", "eval_samples=1", "prompts=['1']"} {
		require.NoError(t, c.Set(s))
	}
	whole := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "whole"}, Events{})
	require.NoError(t, whole.Train(context.Background()))
	require.Equal(t, []int64{5, 10, 15, 20}, stepsOf(t, whole.Run.Dir, "eval"))

	ctx, cancel := context.WithCancel(context.Background())
	half := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "half"}, Events{Step: func(step int64) {
		if step == 15 {
			cancel()
		}
	}})
	require.ErrorIs(t, half.Train(ctx), context.Canceled)
	require.EqualValues(t, 15, half.Step())
	half.Close()
	require.Equal(t, []int64{5, 10}, stepsOf(t, half.Run.Dir, "eval"))
	// As a kill leaves it: the line that stopping wrote is taken away.
	require.NoError(t, os.Rename(half.Run.CheckpointDir(15), half.Run.CheckpointDir(15)+"_saved"))
	logs, err := half.Run.OpenLogs(14)
	require.NoError(t, err)
	require.NoError(t, logs.Close())
	require.NoError(t, os.Rename(half.Run.CheckpointDir(15)+"_saved", half.Run.CheckpointDir(15)))

	rest := begin(t, c, dev, Start{Resume: half.Run.Dir}, Events{})
	require.EqualValues(t, 15, rest.Step())
	require.NoError(t, rest.Train(context.Background()))
	for _, log := range []string{"metrics", "eval", "samples"} {
		require.Equal(t, stepsOf(t, whole.Run.Dir, log), stepsOf(t, rest.Run.Dir, log), log)
	}
	want, got := metricsOf(t, whole.Run.Dir), metricsOf(t, rest.Run.Dir)
	for step, m := range want {
		require.Equal(t, m.Get(runs.LossMean), got[step].Get(runs.LossMean), "the mean of the line of step %d", step)
		require.Equal(t, m.Get(runs.Loss), got[step].Get(runs.Loss), "the loss of step %d", step)
	}
}

// A process that found a run's newest checkpoint before another one trained on does
// not continue from the old one.
func TestResumeAfterAnother(t *testing.T) {
	dev := modeltest.Device(t)
	c := tiny(t)
	require.NoError(t, c.Set("steps=8"))
	ctx, cancel := context.WithCancel(context.Background())
	first := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "run"}, Events{Step: func(step int64) {
		if step == 4 {
			cancel()
		}
	}})
	require.ErrorIs(t, first.Train(ctx), context.Canceled)
	first.Close()

	from, state, err := FindCheckpoint(first.Run.Dir, func(string) {})
	require.NoError(t, err)
	other := begin(t, c, dev, Start{Resume: first.Run.Dir}, Events{})
	require.NoError(t, other.Train(context.Background()))
	other.Close()

	late := Start{Resume: from, State: &state, Newest: true}
	_, err = Prepare(t.Context(), c, late, Events{})
	require.ErrorContains(t, err, "another process has just trained")
	late.Newest = false // the checkpoint itself is named: the run returns to it
	job, err := Prepare(t.Context(), c, late, Events{})
	require.NoError(t, err)
	job.Close()
}
