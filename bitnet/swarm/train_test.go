package swarm

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/runs"
	"bitnet/bitnet/train"
)

// tiny is the smallest sensible run.
func tiny(t testing.TB) *train.Config {
	c, err := train.Preset("simple")
	require.NoError(t, err)
	for _, s := range []string{"hidden_size=16", "intermediate_size=24", "num_attention_heads=2", "num_key_value_heads=1", "num_hidden_layers=1",
		"steps=40", "batch_size=2", "seq_len=24", "grad_accum=2", "log_interval=4", "eval_interval=20", "sample_interval=0", "checkpoint_interval=20", "prompts=[]"} {
		require.NoError(t, c.Set(s))
	}
	return c
}

// trainer is a run in this process that takes part in a swarm.
func trainer(t testing.TB, s *serving, name, dir string, c *train.Config, start train.Start) (*runs.Run, error) {
	client, err := Dial(context.Background(), s.address, s.token, func(string) {})
	require.NoError(t, err)
	defer client.Close()
	w, err := client.NewWorker(name)
	require.NoError(t, err)
	w.every = beatTime / 20
	start.RunsDir, start.RunID, start.Peers = dir, name, w
	job, err := train.Prepare(context.Background(), c, start, train.Events{})
	if err != nil {
		return nil, err
	}
	tr, err := job.Begin(context.Background(), modeltest.Device(t))
	require.NoError(t, err)
	defer tr.Close()
	return tr.Run, tr.Train(context.Background())
}

// Two runs on a device train one model: both end with the same weights, which have
// learnt, and are runs like any other.
func TestTwoRuns(t *testing.T) {
	modeltest.Device(t)
	s := serve(t, ServeOptions{Rules: quickRules(), Dir: t.TempDir()})
	dir := t.TempDir()
	var all sync.WaitGroup
	got := make([]*runs.Run, 2)
	errs := make([]error, 2)
	for i, name := range []string{"a", "b"} {
		c := tiny(t)
		if i == 1 { // the same step in other pieces
			require.NoError(t, c.Set("batch_size=4"))
			require.NoError(t, c.Set("grad_accum=1"))
		}
		all.Go(func() { got[i], errs[i] = trainer(t, s, name, dir, c, train.Start{}) })
	}
	all.Wait()
	var weights [2][]byte
	for i, r := range got {
		require.NoError(t, errs[i], s.log)
		info := r.Info()
		require.EqualValues(t, 40, info.CheckpointStep)
		require.EqualValues(t, 40, info.Step)
		text, err := readTensors(r)
		require.NoError(t, err)
		weights[i] = text
		sw, err := r.Swarm()
		require.NoError(t, err)
		require.EqualValues(t, 40, sw.Step)
		require.Len(t, sw.Workers, 2)
		require.Equal(t, []string{"a", "b"}[i], sw.Me)
		require.EqualValues(t, sw.Tokens, info.TokensSeen)
		best, err := r.Status()
		require.NoError(t, err)
		require.NotNil(t, best.Eval)
		require.Less(t, float64(best.Eval.Loss), 3.3, "ln(32) is 3.47: it has learnt")
		require.False(t, math.IsNaN(float64(best.Eval.Loss)))
	}
	require.Equal(t, weights[0], weights[1], "both have the weights of the swarm, to the bit")

	// A worker of another model is refused, and one that comes late gets the weights.
	c := tiny(t)
	require.NoError(t, c.Set("hidden_size=32"))
	_, err := trainer(t, s, "other", dir, c, train.Start{})
	require.ErrorContains(t, err, "model.hidden_size is 32 here and 16 in the swarm")
	c = tiny(t)
	require.NoError(t, c.Set("seed=7"))
	_, err = trainer(t, s, "seed", dir, c, train.Start{})
	require.ErrorContains(t, err, "train.seed is 7 here and 42 in the swarm")
	r, err := trainer(t, s, "late", dir, tiny(t), train.Start{})
	require.NoError(t, err)
	text, err := readTensors(r)
	require.NoError(t, err)
	require.Equal(t, weights[0], text)

	// A run that a swarm feeds cannot go back.
	c = tiny(t)
	c.Train.OnAnomaly = runs.RollBack
	_, err = trainer(t, s, "back", dir, c, train.Start{})
	require.ErrorContains(t, err, "--on-anomaly rollback")
}

// A run that was stopped resumes its place in the swarm: it takes the newest weights
// and keeps its optimizer.
func TestResumedRun(t *testing.T) {
	modeltest.Device(t)
	s := serve(t, ServeOptions{Rules: quickRules(), Dir: t.TempDir()})
	dir := t.TempDir()
	alone := tiny(t)
	require.NoError(t, alone.Set("steps=40"))
	client, err := Dial(context.Background(), s.address, s.token, func(string) {})
	require.NoError(t, err)
	defer client.Close()
	w, err := client.NewWorker("a")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	job, err := train.Prepare(ctx, alone, train.Start{RunsDir: dir, RunID: "a", Peers: w}, train.Events{Step: func(step int64) {
		if step == 13 {
			cancel()
		}
	}})
	require.NoError(t, err)
	tr, err := job.Begin(ctx, modeltest.Device(t))
	require.NoError(t, err)
	require.ErrorIs(t, tr.Train(ctx), context.Canceled)
	tr.Close()
	require.EqualValues(t, 13, tr.Run.Info().CheckpointStep)
	require.EqualValues(t, 10, status(t, s).Step)

	r, err := trainer(t, s, "a", dir, alone, train.Start{Resume: tr.Run.Dir})
	require.NoError(t, err)
	require.EqualValues(t, 40, r.Info().CheckpointStep)
	st := status(t, s)
	require.Len(t, st.Workers, 1)
	require.EqualValues(t, 40, st.Workers[0].Steps)
	state, err := runs.ReadState(r.CheckpointDir(40))
	require.NoError(t, err)
	require.EqualValues(t, -3, state.Absent, "three steps were trained and not counted")
}

// readTensors reads the weights file of a run's newest checkpoint.
func readTensors(r *runs.Run) ([]byte, error) {
	return os.ReadFile(filepath.Join(r.Info().Checkpoint, modelfile.WeightsName))
}
