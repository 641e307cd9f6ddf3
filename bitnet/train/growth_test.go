package train

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/runs"
)

func TestGrowth(t *testing.T) {
	g, err := parseGrowth("2@0.25, 6@0.5", 10)
	require.NoError(t, err)
	var factors []int
	sum := int64(0)
	for step := range int64(10) {
		factors = append(factors, g.at(step))
		require.Equal(t, sum, g.until(step))
		sum += int64(g.at(step))
	}
	require.Equal(t, []int{1, 1, 1, 2, 2, 6, 6, 6, 6, 6}, factors) // a quarter of 10 steps ends in the third
	require.Equal(t, sum, g.until(10))
	require.Equal(t, 6, g.most())
	var none growth
	require.Equal(t, 1, none.at(7))
	require.Equal(t, 1, none.most())
	require.EqualValues(t, 9, none.until(9))

	for text, want := range map[string]string{
		"2": "is not FACTOR@SHARE", "2@": "is not FACTOR@SHARE", "2@0.5,": "is not FACTOR@SHARE", "1.5@0.5": "is not FACTOR@SHARE",
		"1@0.5": "must be above 1", "2@0.5,2@0.6": "must be above 2", "5000@0.5": "at most 4096",
		"2@0": "must be above 0", "2@1": "below 1", "2@0.5,3@0.5": "must be above 0.5", "2@nan": "must be above 0",
		"4000@0.5": "", "2@0.5": "",
	} {
		c := tiny(t)
		require.NoError(t, c.Set("batch_growth="+text))
		if err := c.Check(); want == "" {
			require.NoError(t, err, text)
		} else {
			require.ErrorContains(t, err, want, text)
		}
	}
	c := tiny(t)
	require.NoError(t, c.Set("grad_accum=1000000"))
	require.NoError(t, c.Set("batch_growth=4@0.5"))
	require.ErrorContains(t, c.Check(), "makes steps of")
}

// The fewest steps whose rows are enough, whatever the stages.
func TestStepsForRows(t *testing.T) {
	for _, text := range []string{"", "2@0.5", "2@0.1,7@0.9"} {
		c := tiny(t)
		require.NoError(t, c.Set("batch_growth="+text))
		per := int64(c.Train.BatchSize * c.Train.GradAccum)
		for rows := int64(1); rows < 300; rows++ {
			n := c.stepsFor(rows)
			c.Train.Steps = int(n)
			require.GreaterOrEqual(t, per*c.Train.growth().until(n), rows)
			c.Train.Steps = int(n - 1)
			require.Less(t, per*c.Train.growth().until(n-1), rows, "%s: %d rows", text, rows)
		}
	}
}

// A run whose steps grow resumes bit for bit before, at and after the change. Its later
// steps are those of a run with larger steps from there on: the order of the data
// depends on the tokens alone.
func TestGrowingBatches(t *testing.T) {
	dev := modeltest.Device(t)
	c := tiny(t)
	for _, set := range []string{"steps=8", "warmup_steps=2", "checkpoint_interval=0", "grad_accum=1", "batch_growth=3@0.5"} {
		require.NoError(t, c.Set(set))
	}
	whole := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "whole"}, Events{})
	require.NoError(t, whole.Train(context.Background()))
	state, err := runs.ReadState(whole.Run.CheckpointDir(8))
	require.NoError(t, err)
	require.Equal(t, c.Tokens(), state.TokensSeen)
	require.Equal(t, 16*c.TokensPerStep(), state.TokensSeen)
	for step, m := range metricsOf(t, whole.Run.Dir) {
		want := c.TokensPerStep()
		if step > 4 {
			want *= 3
		}
		require.EqualValues(t, want, m.Get(runs.StepTokens), "step %d", step)
	}
	for _, at := range []int64{2, 4, 6} {
		run := stopAt(t, c, at)
		stored, err := LoadConfig(filepath.Join(run.CheckpointDir(at), configName))
		require.NoError(t, err)
		if at == 4 { // what remains is a run of steps that are three times as large
			require.NoError(t, stored.Set("batch_growth="))
			require.NoError(t, stored.Set("grad_accum=3"))
		}
		rest := begin(t, stored, dev, Start{Resume: run.Dir}, Events{})
		require.NoError(t, rest.Train(context.Background()))
		require.Equal(t, finalSum(t, whole.Run.Dir, 8), finalSum(t, run.Dir, 8), "resumed after %d", at)
	}
}
