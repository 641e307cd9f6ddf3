package train

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/eval"
	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/runs"
)

// worsening is a run whose validation loss falls, and then rises: its learning
// rate is far too high.
func worsening(t testing.TB, set ...string) *Config {
	c := tiny(t)
	for _, s := range append([]string{"steps=24", "warmup_steps=24", "learning_rate=3", "eval_interval=2", "eval_samples=8",
		"log_interval=5", "checkpoint_interval=5", "keep_checkpoints=1", "loss_on_all=true"}, set...) {
		require.NoError(t, c.Set(s))
	}
	return c
}

func evalsOf(t testing.TB, r *runs.Run) []runs.Eval {
	t.Helper()
	list, err := r.Evals()
	require.NoError(t, err)
	return list
}

func checkpointSteps(r *runs.Run) (steps []int64) {
	for _, dir := range r.Checkpoints() {
		steps = append(steps, runs.CheckpointStep(dir))
	}
	return steps
}

// The checkpoint of the lowest validation loss stays, is found by RUN@best, and is the
// same in a run that was stopped and resumed. Without keep_best it is not kept.
func TestBestIsKept(t *testing.T) {
	dev := modeltest.Device(t)
	c := worsening(t, "keep_best=true")
	whole := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "whole"}, Events{})
	require.NoError(t, whole.Train(context.Background()))
	b, err := whole.Run.Best()
	require.NoError(t, err)
	require.NotNil(t, b.Lowest)
	require.Equal(t, b.Lowest.Step, b.Kept.Step, "the best of all is kept")
	require.Positive(t, b.Since, "the last is not the best, or this test shows nothing: %v", evalsOf(t, whole.Run))
	kept := []int64{24, 13, 12} // the newest, and those at the stage boundary
	if !slices.Contains(kept, b.Kept.Step) {
		kept = append(kept, b.Kept.Step)
	}
	require.ElementsMatch(t, kept, checkpointSteps(whole.Run))

	name := whole.Run.Dir + "@best"
	dir, ok, err := runs.FindBest("", name, func(s string) { t.Error(s) }, checkpointFiles...)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, whole.Run.CheckpointDir(b.Kept.Step), dir)
	e, err := Evaluate(t.Context(), dev, name, EvalOptions{Options: eval.Options{Rows: 8}})
	require.NoError(t, err)
	require.Equal(t, b.Kept.Step, e.Step)
	require.InDelta(t, float64(b.Kept.Loss), float64(e.Loss), 1e-6)

	for _, at := range []int64{b.Kept.Step, b.Kept.Step + 1, 20} {
		run := stopAt(t, c, at)
		rest := begin(t, c, dev, Start{Resume: run.Dir}, Events{})
		require.NoError(t, rest.Train(context.Background()))
		require.Equal(t, evalsOf(t, whole.Run), evalsOf(t, run), "stopped at %d", at)
		require.Equal(t, checkpointSteps(whole.Run), checkpointSteps(run), "stopped at %d", at)
		require.Equal(t, finalSum(t, whole.Run.Dir, 24), finalSum(t, run.Dir, 24))
		require.Equal(t, finalSum(t, whole.Run.Dir, b.Kept.Step), finalSum(t, run.Dir, b.Kept.Step))
	}

	plain := begin(t, worsening(t), dev, Start{RunsDir: t.TempDir(), RunID: "plain"}, Events{})
	require.NoError(t, plain.Train(context.Background()))
	require.Equal(t, []int64{24, 13, 12}, checkpointSteps(plain.Run))
	require.Equal(t, finalSum(t, whole.Run.Dir, 24), finalSum(t, plain.Run.Dir, 24), "keeping the best changes no weight")
}

// A run stops when its validation loss no longer improves, says so, and can be
// continued.
func TestEarlyStopping(t *testing.T) {
	dev := modeltest.Device(t)
	c := worsening(t, "early_stopping=2")
	var notes []string
	events := Events{Note: func(s string) { notes = append(notes, s) }}
	tr := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "run"}, events)
	require.NoError(t, tr.Train(context.Background()))
	tr.Close()
	b, err := tr.Run.Best()
	require.NoError(t, err)
	stopped := b.Lowest.Step + 4 // two evaluations later
	require.Equal(t, stopped, tr.Step())
	require.Less(t, stopped, int64(24))
	require.Equal(t, b.Lowest.Step, b.Kept.Step)
	require.Equal(t, stopped, checkpointSteps(tr.Run)[0], "the last weights are saved, too")
	require.Contains(t, notes[len(notes)-1], "stopping early: the validation loss no longer improves (early_stopping 2)")
	require.Contains(t, metricsOf(t, tr.Run.Dir), stopped, "the last step is logged")
	info := tr.Run.Info()
	require.Equal(t, runs.Stopped, info.State)
	require.Contains(t, info.Why, "no longer improved (early_stopping 2)")

	// Resumed as it is, it stops at once; without early stopping, it is the run that
	// never had it.
	notes = nil
	again := begin(t, c, dev, Start{Resume: tr.Run.Dir}, events)
	require.NoError(t, again.Train(context.Background()))
	again.Close()
	require.Equal(t, stopped, again.Step())
	require.Contains(t, notes[len(notes)-1], "stopping early")
	rest := begin(t, worsening(t), dev, Start{Resume: tr.Run.Dir}, events)
	require.NoError(t, rest.Train(context.Background()))
	whole := begin(t, worsening(t), dev, Start{RunsDir: t.TempDir(), RunID: "whole"}, Events{})
	require.NoError(t, whole.Train(context.Background()))
	require.Equal(t, finalSum(t, whole.Run.Dir, 24), finalSum(t, rest.Run.Dir, 24))
}

func TestBestMistakes(t *testing.T) {
	c := worsening(t, "early_stopping=-1")
	require.ErrorContains(t, c.Check(), "must not be negative")
	c = worsening(t, "keep_best=true", "eval_interval=0")
	require.ErrorContains(t, c.Check(), "--eval-interval")
	c = worsening(t, "keep_best=true", "data.source=tokens:"+filepath.Join("..", "..", "testdata", "golden", "train", "tokens.u16"), "vocab_size=1024")
	_, err := Prepare(t.Context(), c, Start{RunsDir: t.TempDir()}, Events{})
	require.ErrorContains(t, err, "no validation data")
}

// Whenever a run is killed, its best checkpoint is whole, and is never worse than one
// that was there before; in the end it is that of a run that was not killed.
func TestBestSurvivesKills(t *testing.T) {
	dev := modeltest.Device(t)
	kills := 12
	if testing.Short() {
		kills = 3
	}
	c := worsening(t, "keep_best=true", "eval_interval=1", "checkpoint_interval=3", "learning_rate=0.01", "steps=40", "warmup_steps=1")
	whole := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "whole"}, Events{})
	require.NoError(t, whole.Train(context.Background()))

	runsDir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(runsDir, "config.yaml"), c.YAML(), 0o600))
	run := &runs.Run{Name: "run", Dir: filepath.Join(runsDir, "run")}
	child := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "BITNET_TEST_RUN="+runsDir)
		cmd.Stderr = os.Stderr
		return cmd
	}
	rng := rand.New(rand.NewPCG(3, 4))
	killed := 0
	for killed < kills {
		before := checkpointSteps(run)
		cmd := child()
		require.NoError(t, cmd.Start())
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline) && len(done) == 0; time.Sleep(time.Millisecond) {
			if now := checkpointSteps(run); len(now) > 0 && (len(before) == 0 || now[0] > before[0]) {
				break
			}
		}
		time.Sleep(time.Duration(rng.IntN(30_000)) * time.Microsecond)
		_ = cmd.Process.Kill()
		if err := <-done; err == nil {
			break // it was done first
		}
		killed++
		b, err := run.Best()
		require.NoError(t, err)
		if b.Kept == nil { // killed before the first evaluation's checkpoint was whole
			continue
		}
		_, err = runs.ReadState(run.CheckpointDir(b.Kept.Step), checkpointFiles...)
		require.NoError(t, err, "the best checkpoint is whole after kill %d", killed)
		if b.Lowest.Step != b.Kept.Step { // its checkpoint was being written
			evals := evalsOf(t, run)
			require.Equal(t, b.Lowest.Step, evals[len(evals)-1].Step, "only the newest evaluation can lack its checkpoint")
		}
	}
	require.NotZero(t, killed)
	if steps := checkpointSteps(run); len(steps) == 0 || steps[0] < 40 {
		require.NoError(t, child().Run())
	}
	require.Equal(t, evalsOf(t, whole.Run), evalsOf(t, run))
	require.Equal(t, checkpointSteps(whole.Run), checkpointSteps(run))
	require.Equal(t, finalSum(t, whole.Run.Dir, 40), finalSum(t, run.Dir, 40))
}
