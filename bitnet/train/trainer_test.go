package train

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/model"
	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/runs"
	"bitnet/data"
	"bitnet/gpu"
	"bitnet/graph"
)

// begin prepares a run and begins it on a device.
func begin(t testing.TB, c *Config, dev *gpu.Device, start Start, events Events) *Trainer {
	t.Helper()
	job, err := Prepare(t.Context(), c, start, events)
	require.NoError(t, err)
	tr, err := job.Begin(t.Context(), dev)
	require.NoError(t, err)
	t.Cleanup(tr.Close)
	return tr
}

// tiny is the smallest sensible run.
func tiny(t testing.TB) *Config {
	c, err := Preset("simple")
	require.NoError(t, err)
	for _, s := range []string{"hidden_size=16", "intermediate_size=24", "num_attention_heads=2", "num_key_value_heads=1", "num_hidden_layers=1",
		"steps=30", "batch_size=2", "seq_len=24", "grad_accum=2", "log_interval=1", "eval_interval=0", "sample_interval=0", "checkpoint_interval=4", "prompts=[]"} {
		require.NoError(t, c.Set(s))
	}
	require.NoError(t, c.Check())
	return c
}

func metricsOf(t testing.TB, run string) map[int64]*runs.Metrics {
	t.Helper()
	f, err := os.Open(filepath.Join(run, "logs", "metrics.jsonl"))
	require.NoError(t, err)
	defer f.Close()
	out := map[int64]*runs.Metrics{}
	for s := bufio.NewScanner(f); s.Scan(); {
		var line map[string]json.RawMessage
		require.NoError(t, json.Unmarshal(s.Bytes(), &line))
		m := new(runs.Metrics)
		require.NoError(t, json.Unmarshal(line["step"], &m.Step))
		for _, k := range runs.Keys() {
			if text, ok := line[k.String()]; ok {
				var v runs.Number
				require.NoError(t, json.Unmarshal(text, &v))
				m.Set(k, float64(v))
			}
		}
		if text, ok := line["ternary"]; ok {
			require.NoError(t, json.Unmarshal(text, &m.Ternary))
		}
		_, twice := out[m.Step]
		require.False(t, twice, "step %d is logged twice", m.Step)
		out[m.Step] = m
	}
	return out
}

// Training from the same weights over the same tokens gives PyTorch's losses.
func TestParityWithPyTorch(t *testing.T) {
	dev := modeltest.Device(t)
	golden := filepath.Join("..", "..", "testdata", "golden", "train")
	for _, run := range []struct {
		file        string
		precision   string
		lr          float64
		loss, early float64 // relative bounds: at every step, in the first ten
		norm        float64
	}{
		// The gentle run is held tightly. In the fast one two PyTorch runs in
		// float32 and float64 drift 1.5e-2 apart by rounding alone.
		{"losses.jsonl", "f32", 1e-4, 1e-3, 2e-4, 4e-2},
		{"losses_fast.jsonl", "f32", 1.5e-3, 5e-2, 1e-2, 1},
		// Gradients with fewer bits take the same way down.
		{"losses.jsonl", "mixed", 1e-4, 1e-3, 2e-4, 4e-2},
		{"losses.jsonl", "int8", 1e-4, 1e-3, 2e-4, 4e-2},
	} {
		t.Run(run.file+" "+run.precision, func(t *testing.T) {
			c := tiny(t)
			var err error
			c.Model, err = modelfile.ReadTrainable(filepath.Join(golden, "init"))
			require.NoError(t, err)
			for _, s := range []string{"steps=200", "batch_size=8", "seq_len=32", "grad_accum=2", "warmup_steps=20", "shuffle=false",
				"checkpoint_interval=0", "keep_checkpoints=1", "precision=" + run.precision, "data.source=tokens:" + filepath.Join(golden, "tokens.u16"), fmt.Sprintf("learning_rate=%g", run.lr)} {
				require.NoError(t, c.Set(s))
			}
			tr := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "parity", Init: filepath.Join(golden, "init")}, Events{})
			require.NoError(t, tr.Train(context.Background()))
			got := metricsOf(t, tr.Run.Dir)
			worst := 0.0
			for _, g := range goldenSteps(t, run.file, 200) {
				m := got[g.Step+1]
				bound := run.loss
				if g.Step < 10 {
					bound = run.early
				}
				worst = max(worst, math.Abs(m.Get(runs.Loss)/g.Loss-1))
				require.InEpsilon(t, g.Loss, m.Get(runs.Loss), bound, "loss of step %d", g.Step)
				require.InEpsilon(t, g.GradNorm, m.Get(runs.GradNorm), run.norm, "gradient norm of step %d", g.Step)
			}
			t.Logf("largest relative difference of the loss: %.1e", worst)
		})
	}
}

// The log-probability of each token under a model directory is PyTorch's.
// Rounding can move an activation's code to its neighbour, so a few tokens
// may differ by more than the rest.
func TestLogProbsAgainstPyTorch(t *testing.T) {
	dev := modeltest.Device(t)
	golden := filepath.Join("..", "..", "testdata", "golden", "train")
	c, err := modelfile.ReadTrainable(filepath.Join(golden, "init"))
	require.NoError(t, err)
	m, err := model.New(c, dev.Adapter(), graph.ForEvaluation, "")
	require.NoError(t, err)
	require.NoError(t, m.Allocate(dev))
	defer m.Release()
	require.NoError(t, m.LoadMasters(filepath.Join(golden, "init")))
	e, err := infer.NewScorer(m, 8, 32, false, nil)
	require.NoError(t, err)
	defer e.Release()
	src, err := data.OpenTokens(filepath.Join(golden, "tokens.u16"), false, false, 0, 32, c.VocabSize)
	require.NoError(t, err)
	var got []infer.TokenLogProb
	_, err = e.Loss(t.Context(), src, 8, func(p infer.TokenLogProb) error { got = append(got, p); return nil })
	require.NoError(t, err)
	f, err := os.Open(filepath.Join(golden, "logprobs.jsonl"))
	require.NoError(t, err)
	defer f.Close()
	i, far := 0, 0
	for s := bufio.NewScanner(f); s.Scan(); i++ {
		var want infer.TokenLogProb
		require.NoError(t, json.Unmarshal(s.Bytes(), &want))
		require.Equal(t, want.Token, got[i].Token)
		require.Equal(t, want.Position, got[i].Position)
		require.InDelta(t, want.LogProb, got[i].LogProb, 2e-2)
		if math.Abs(want.LogProb-got[i].LogProb) > 1e-4 {
			far++
		}
	}
	require.Len(t, got, i)
	require.LessOrEqual(t, far, i*3/100, "tokens that differ by more than 1e-4, of %d", i)
}

func TestFirstLossIsLogVocab(t *testing.T) {
	dev := modeltest.Device(t)
	c := tiny(t)
	for _, s := range []string{"num_hidden_layers=4", "vocab_size=1000", "steps=1", "loss_on_all=true", "grad_accum=4"} {
		require.NoError(t, c.Set(s))
	}
	tr := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "first"}, Events{})
	require.NoError(t, tr.Train(context.Background()))
	require.InEpsilon(t, math.Log(1000), metricsOf(t, tr.Run.Dir)[1].Get(runs.Loss), 0.05)
}

// finalSum is the checksum of the weights after the last step.
func finalSum(t testing.TB, run string, steps int64) runs.FileSum {
	dir := filepath.Join(run, "checkpoints", fmt.Sprintf("step_%08d", steps))
	s, err := runs.ReadState(dir)
	require.NoError(t, err)
	require.Equal(t, steps, s.Step)
	return s.Files["model.safetensors"]
}

func TestResumeIsBitExact(t *testing.T) {
	dev := modeltest.Device(t)
	c := tiny(t)
	whole := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "whole"}, Events{})
	require.NoError(t, whole.Train(context.Background()))

	// The same run, stopped in the middle by Ctrl-C and resumed.
	ctx, cancel := context.WithCancel(context.Background())
	runsDir := t.TempDir()
	half := begin(t, c, dev, Start{RunsDir: runsDir, RunID: "half"}, Events{Metrics: func(m runs.Metrics) {
		if m.Step == 13 {
			cancel()
		}
	}})
	require.ErrorIs(t, half.Train(ctx), context.Canceled)
	require.Less(t, half.Step(), int64(c.Train.Steps))
	half.Close()
	rest := begin(t, c, dev, Start{Resume: half.Run.Dir}, Events{})
	require.Equal(t, half.Step(), rest.Step())
	require.NoError(t, rest.Train(context.Background()))

	a, b := metricsOf(t, whole.Run.Dir), metricsOf(t, rest.Run.Dir)
	require.Len(t, a, c.Train.Steps)
	require.Len(t, b, c.Train.Steps)
	for s, m := range a {
		require.Equal(t, m.Get(runs.Loss), b[s].Get(runs.Loss), "loss of step %d", s)
		require.Equal(t, m.Get(runs.GradNorm), b[s].Get(runs.GradNorm), "gradient norm of step %d", s)
	}
	require.Equal(t, finalSum(t, whole.Run.Dir, 30), finalSum(t, rest.Run.Dir, 30))

	// Kept: the newest three, and both sides of the stage boundary.
	var steps []int64
	for _, l := range rest.Run.Checkpoints() {
		steps = append(steps, runs.CheckpointStep(l))
	}
	require.Equal(t, []int64{30, 28, 24, 16, 15}, steps)

	rest.Close()
	_, err := Prepare(t.Context(), c, Start{Resume: rest.Run.Dir}, Events{})
	require.ErrorContains(t, err, "has finished its 30 steps")
}

// The child of TestKilledAtAnyMoment: trains or resumes the run in the
// directory until it is killed or done.
func TestMain(m *testing.M) {
	if dir := os.Getenv("BITNET_TEST_RUN"); dir != "" {
		if err := trainChild(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(untuned(m))
}

// untuned runs the tests where no tuning of this machine is found.
func untuned(m *testing.M) int {
	dir, err := os.MkdirTemp("", "bitnet-tuning-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	os.Setenv("BITNET_TUNING", dir)
	return m.Run()
}

func trainChild(runsDir string) error {
	dev, err := gpu.Open("")
	if err != nil {
		return err
	}
	c, err := LoadConfig(filepath.Join(runsDir, "config.yaml"))
	if err != nil {
		return err
	}
	start := Start{RunsDir: runsDir, RunID: "run"}
	run := runs.Run{Dir: filepath.Join(runsDir, "run")}
	if len(run.Checkpoints()) > 0 {
		start = Start{Resume: run.Dir}
	} else if err := os.RemoveAll(run.Dir); err != nil { // killed before its first checkpoint
		return err
	}
	job, err := Prepare(context.Background(), c, start, Events{})
	if err != nil {
		return err
	}
	t, err := job.Begin(context.Background(), dev)
	if err != nil {
		return err
	}
	defer t.Close()
	return t.Train(context.Background())
}

func TestKilledAtAnyMoment(t *testing.T) {
	dev := modeltest.Device(t)
	kills := 50
	if testing.Short() {
		kills = 5
	}
	c := tiny(t)
	require.NoError(t, c.Set("steps=60"))
	require.NoError(t, c.Set("checkpoint_interval=1"))
	whole := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "whole"}, Events{})
	require.NoError(t, whole.Train(context.Background()))

	runsDir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(runsDir, "config.yaml"), c.YAML(), 0o644))
	child := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "BITNET_TEST_RUN="+runsDir)
		cmd.Stderr = os.Stderr
		return cmd
	}
	// How long a child lives before its first step differs by machine: the
	// kill comes at a random moment after the run's newest checkpoint moved on
	// or, now and then, at any moment at all.
	rng := rand.New(rand.NewPCG(1, 2))
	newest := func() string {
		run := runs.Run{Dir: filepath.Join(runsDir, "run")}
		list := run.Checkpoints()
		if len(list) == 0 {
			return ""
		}
		return list[0]
	}
	killed := 0
	for killed < kills {
		before := newest()
		if runs.CheckpointStep(before) >= int64(c.Train.Steps)-1 {
			break
		}
		cmd := child()
		require.NoError(t, cmd.Start())
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		deadline := time.Now().Add(2 * time.Minute)
		if rng.IntN(5) > 0 {
			for newest() == before && time.Now().Before(deadline) && len(done) == 0 {
				time.Sleep(time.Millisecond)
			}
		}
		time.Sleep(time.Duration(rng.IntN(20_000)) * time.Microsecond)
		_ = cmd.Process.Kill()
		if err := <-done; err == nil {
			break // it was done first
		}
		killed++
		_, _, err := FindCheckpoint(filepath.Join(runsDir, "run"), func(s string) { t.Error(s) })
		if newest() != "" {
			require.NoError(t, err, "the newest checkpoint must be whole after kill %d", killed)
		}
	}
	t.Logf("%d kills", killed)
	require.NotZero(t, killed)
	if runs.CheckpointStep(newest()) < int64(c.Train.Steps) {
		require.NoError(t, child().Run())
	}
	require.Equal(t, finalSum(t, whole.Run.Dir, 60), finalSum(t, filepath.Join(runsDir, "run"), 60))
	left, err := filepath.Glob(filepath.Join(runsDir, "run", "checkpoints", ".*"))
	require.NoError(t, err)
	require.Empty(t, left, "what a kill left is swept up")
}

// A run keeps the precision that was chosen for it.
func TestAutoPrecision(t *testing.T) {
	dev := modeltest.Device(t)
	c := tiny(t)
	require.Equal(t, graph.AutoPrecision, c.Train.Precision)
	tr := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "run"}, Events{})
	kept, err := LoadConfig(filepath.Join(tr.Run.Dir, "config.yaml"))
	require.NoError(t, err)
	require.Equal(t, tr.model.Params.Precision.String(), kept.Train.Precision)
	require.Contains(t, graph.Precisions, kept.Train.Precision)
}

// However long steps take, a checkpoint is never older than was asked for.
func TestCheckpointMinutes(t *testing.T) {
	dev := modeltest.Device(t)
	for minutes, want := range map[string][]string{ // steps 3 and 4 lie at the boundary of the stages
		"0": {"step_00000003", "step_00000004", "step_00000006"}, "1e-9": {"step_00000003", "step_00000004", "step_00000005", "step_00000006"},
	} {
		c := tiny(t)
		for _, s := range []string{"steps=6", "warmup_steps=0", "checkpoint_interval=0", "keep_checkpoints=2", "checkpoint_minutes=" + minutes} {
			require.NoError(t, c.Set(s))
		}
		tr := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "run"}, Events{})
		require.NoError(t, tr.Train(context.Background()))
		entries, err := os.ReadDir(filepath.Join(tr.Run.Dir, "checkpoints"))
		require.NoError(t, err)
		var got []string
		for _, e := range entries {
			got = append(got, e.Name())
		}
		require.Equal(t, want, got, "checkpoint_minutes=%s", minutes)
	}
}

// That a run learns shows at once: steps 1 and 10 are logged whatever the
// interval. A line is about the steps since the one before it.
func TestFirstLines(t *testing.T) {
	dev := modeltest.Device(t)
	every := tiny(t)
	require.NoError(t, every.Set("steps=12"))
	all := begin(t, every, dev, Start{RunsDir: t.TempDir(), RunID: "all"}, Events{})
	require.NoError(t, all.Train(t.Context()))
	each := metricsOf(t, all.Run.Dir)
	require.Len(t, each, 12)
	for interval, want := range map[int][]int64{0: {1, 10, 12}, 100: {1, 10, 12}, 4: {1, 4, 8, 10, 12}, 10: {1, 10, 12}, 6: {1, 6, 10, 12}} {
		c := *every
		c.Output.LogInterval = interval
		var told []int64
		tr := begin(t, &c, dev, Start{RunsDir: t.TempDir(), RunID: "run"}, Events{Metrics: func(m runs.Metrics) { told = append(told, m.Step) }})
		require.NoError(t, tr.Train(t.Context()))
		require.Equal(t, want, told, interval)
		lines := metricsOf(t, tr.Run.Dir)
		require.Len(t, lines, len(want))
		require.NotEmpty(t, lines[1].Ternary, "the first line has the ternary shares")
		before := int64(0)
		for _, step := range want {
			m, mean := lines[step], 0.0
			for s := before + 1; s <= step; s++ {
				mean += each[s].Get(runs.Loss) / float64(step-before)
			}
			require.Equal(t, each[step].Get(runs.Loss), m.Get(runs.Loss), "step %d", step)
			require.InDelta(t, mean, m.Get(runs.LossMean), 1e-9, "step %d", step)
			before = step
		}
	}
}

func TestNothingAllocatedInTheLoop(t *testing.T) {
	dev := modeltest.Device(t)
	tr := begin(t, tiny(t), dev, Start{RunsDir: t.TempDir(), RunID: "run"}, Events{})
	require.NoError(t, tr.Advance())
	before := dev.Stats()
	require.Zero(t, testing.AllocsPerRun(5, func() { require.NoError(t, tr.Advance()) }))
	after := dev.Stats()
	require.Equal(t, before.Reads, after.Reads, "readbacks in the loop")
	require.Equal(t, before.Allocated, after.Allocated)
}

func TestBadCheckpoints(t *testing.T) {
	dev := modeltest.Device(t)
	c := tiny(t)
	require.NoError(t, c.Set("steps=4"))
	tr := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "run"}, Events{})
	require.NoError(t, tr.Train(context.Background()))
	good := filepath.Join(tr.Run.Dir, "checkpoints", "step_00000004")
	for name, row := range map[string]struct {
		damage func(dir string) error
		want   string
	}{
		"cut weights": {func(d string) error { return os.Truncate(filepath.Join(d, "model.safetensors"), 1000) }, "is damaged: model.safetensors has 1000 bytes"},
		"flipped bit": {func(d string) error { return flip(filepath.Join(d, "optimizer.safetensors")) }, "is damaged: optimizer.safetensors"},
		"no weights":  {func(d string) error { return os.Remove(filepath.Join(d, "model.safetensors")) }, "is damaged"},
		"no state":    {func(d string) error { return os.Remove(filepath.Join(d, "state.json")) }, "has no state.json"},
		"bad state":   {func(d string) error { return os.WriteFile(filepath.Join(d, "state.json"), []byte("{"), 0o644) }, "state.json"},
		"escape": {func(d string) error {
			path := filepath.Join(d, "state.json")
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			var s runs.State
			if err := json.Unmarshal(text, &s); err != nil {
				return err
			}
			s.Files["../x"], s.Sum = runs.FileSum{}, ""
			if text, err = json.Marshal(s); err != nil {
				return err
			}
			return os.WriteFile(path, text, 0o644)
		}, "not a file name"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "checkpoints", "step_00000004")
			require.NoError(t, os.CopyFS(dir, os.DirFS(good)))
			require.NoError(t, row.damage(dir))
			_, err := runs.ReadState(dir, checkpointFiles...)
			require.ErrorContains(t, err, row.want)
		})
	}
	// A damaged newest checkpoint is passed over when the run is resumed.
	require.NoError(t, flip(filepath.Join(good, "model.safetensors")))
	var notes []string
	dir, state, err := FindCheckpoint(tr.Run.Dir, func(s string) { notes = append(notes, s) })
	require.NoError(t, err)
	require.NotEqual(t, good, dir)
	require.Less(t, state.Step, int64(4))
	require.Len(t, notes, 1)
}

func flip(path string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	b[len(b)-9] ^= 1
	return os.WriteFile(path, b, 0o644)
}
