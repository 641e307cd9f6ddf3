package train

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/model"
	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/runs"
	"bitnet/gpu"
	"bitnet/graph"
)

func deepConfig(t testing.TB, set ...string) *Config {
	c := tiny(t)
	for _, s := range append([]string{"num_hidden_layers=5", "steps=6", "checkpoint_interval=0"}, set...) {
		require.NoError(t, c.Set(s))
	}
	require.NoError(t, c.Check())
	return c
}

// A run that computes activations again ends with the same weights.
func TestLowMemoryTrainsTheSame(t *testing.T) {
	dev := modeltest.Device(t)
	train := func(set ...string) ([]byte, *Trainer) {
		tr := begin(t, deepConfig(t, set...), dev, Start{RunsDir: t.TempDir(), RunID: "r"}, Events{})
		require.NoError(t, tr.Train(context.Background()))
		text, err := os.ReadFile(filepath.Join(tr.Run.CheckpointDir(6), modelfile.WeightsName))
		require.NoError(t, err)
		return text, tr
	}
	want, fast := train("memory=fast")
	got, low := train("memory=low")
	require.Equal(t, want, got)
	require.Positive(t, low.Plan.Again())
	require.Less(t, held(low), held(fast))
	budget := (held(low) + held(fast)) / 2
	got, bounded := train("memory_budget=" + strconv.FormatFloat(float64(budget)/(1<<20), 'f', 6, 64) + "MiB")
	require.Equal(t, want, got)
	require.LessOrEqual(t, held(bounded), budget)
	require.Less(t, bounded.Plan.Again(), low.Plan.Again())
}

// Moments in 8 bits train nearly the same in less memory, and resume to the bit.
func TestMomentsOf8Bits(t *testing.T) {
	dev := modeltest.Device(t)
	last := func(tr *Trainer) float64 {
		m := metricsOf(t, tr.Run.Dir)
		return m[tr.Step()].Get(runs.Loss)
	}
	run := func(dir string, set ...string) *Trainer {
		c := tiny(t)
		for _, s := range append([]string{"hidden_size=64", "intermediate_size=128", "vocab_size=128", "loss_on_all=true", "steps=60", "batch_size=8", "checkpoint_interval=20"}, set...) {
			require.NoError(t, c.Set(s))
		}
		return begin(t, c, dev, Start{RunsDir: dir, RunID: "r"}, Events{})
	}
	exact := run(t.TempDir())
	require.NoError(t, exact.Train(context.Background()))
	dir := t.TempDir()
	whole := run(dir, "moments=8bit")
	for i, m := range whole.Plan.Memory() {
		if strings.HasPrefix(m.Arena, "optimizer") {
			require.Less(t, m.Bytes, exact.Plan.Memory()[i].Bytes/2, m.Arena) // a quarter, and what fills up blocks
		}
	}
	require.NoError(t, whole.Train(context.Background()))
	require.InDelta(t, last(exact), last(whole), 0.15) // two seeds differ by as much after so few steps
	require.Less(t, last(whole), 2.2, "it learns; guessing is 3.5 or more")
	require.NotEqual(t, last(exact), last(whole))

	c := whole.Config
	want := fileOf(t, whole.Run.CheckpointDir(60))
	whole.Close()
	resumed := begin(t, &c, dev, Start{RunsDir: dir, Resume: whole.Run.CheckpointDir(40)}, Events{})
	require.NoError(t, resumed.Train(context.Background()))
	require.Equal(t, want, fileOf(t, resumed.Run.CheckpointDir(60)))
	c.Train.Optimizer = Muon
	require.ErrorContains(t, c.Check(), "is for train.optimizer adamw")
}

// fileOf is what a checkpoint holds of weights and moments.
func fileOf(t testing.TB, dir string) (both []byte) {
	for _, name := range []string{modelfile.WeightsName, optimizerName} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		require.NoError(t, err)
		both = append(both, text...)
	}
	return both
}

// The validation loss is computed in the memory of the step: it takes none of its own
// but for a batch, and neither the loss nor the steps after it are other than with it.
func TestEvaluationsUseTheMemoryOfTheStep(t *testing.T) {
	dev := modeltest.Device(t)
	for _, memory := range []string{"memory=fast", "memory=low"} {
		train := func(evaluate bool) []byte {
			tr := begin(t, deepConfig(t, memory), dev, Start{RunsDir: t.TempDir(), RunID: "r"}, Events{})
			require.NoError(t, tr.Advance())
			if evaluate {
				loss := func(training *graph.Program) (infer.Loss, int64) {
					before := dev.Stats().Allocated
					s, err := infer.NewScorer(tr.model, tr.share.Rows, tr.Config.Train.SeqLen, false, training)
					require.NoError(t, err)
					defer s.Release()
					took := dev.Stats().Allocated - before
					src, err := tr.task.Validation()
					require.NoError(t, err)
					l, err := s.Loss(t.Context(), src, 40, nil)
					require.NoError(t, err)
					return l, took
				}
				want, own := loss(nil)
				got, shared := loss(tr.program)
				require.Equal(t, want, got)
				require.Less(t, shared, own/4)
			}
			for tr.Step() < 6 {
				require.NoError(t, tr.Advance())
			}
			path := filepath.Join(t.TempDir(), "weights")
			require.NoError(t, tr.model.Save(path, model.Form{Slot: graph.Master}))
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			return text
		}
		require.True(t, bytes.Equal(train(false), train(true)), memory)
	}
}

// What --dry-run says is the most that steps hold, and with what it lists beside them the
// most that a run with evaluations and samples holds.
func TestPlannedMemoryIsThePeak(t *testing.T) {
	for _, row := range [][]string{{"memory=fast"}, {"memory=low"}, {"memory=low", "moments=8bit"}} {
		t.Run(strings.Join(row, " "), func(t *testing.T) {
			dev := modeltest.Device(t)
			c := deepConfig(t, row...)
			m, plan, err := Plan(c, dev.Adapter())
			require.NoError(t, err)
			beside, err := Beside(c, m, plan)
			require.NoError(t, err)
			var planned int64
			for _, m := range plan.Memory() {
				planned += m.Bytes
			}
			require.Zero(t, dev.Stats().Peak)
			tr := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "r"}, Events{})
			require.NoError(t, tr.Advance())
			require.NoError(t, tr.Advance())
			require.NoError(t, dev.Wait())
			require.InEpsilon(t, planned, dev.Stats().Peak, 0.03)
			require.NoError(t, tr.openLogs())
			defer tr.logs.Close()
			_, err = tr.countShares()
			require.NoError(t, err)
			require.NoError(t, tr.evaluate(t.Context()))
			require.NoError(t, tr.sample(t.Context()))
			step := planned
			for _, m := range beside {
				planned += m.Bytes
			}
			require.Greater(t, planned, step*11/10)
			require.InEpsilon(t, planned, dev.Stats().Peak, 0.03)
		})
	}
}

func held(t *Trainer) (n int64) {
	for _, m := range t.Plan.Memory() {
		n += m.Bytes
	}
	return n
}

// Where the adapter has no room for all activations, auto keeps fewer and says so;
// fast fails.
func TestAutoMemoryFitsTheAdapter(t *testing.T) {
	dev := modeltest.Device(t)
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil || dev.Adapter().Kind != gpu.CPU {
		t.Skip("needs an adapter whose memory is known: a CPU under Linux")
	}
	kib, err := strconv.ParseInt(strings.Fields(string(info))[1], 10, 64)
	require.NoError(t, err)
	fast := begin(t, deepConfig(t, "memory=fast", "batch_size=8"), dev, Start{RunsDir: t.TempDir(), RunID: "r"}, Events{})
	few := begin(t, deepConfig(t, "memory=low", "batch_size=8"), dev, Start{RunsDir: t.TempDir(), RunID: "r"}, Events{})
	room := (held(fast) + held(few)) / 2
	fast.Close()
	few.Close()
	// Fill the rest with buffers that nothing touches, which cost no real memory.
	for left := kib<<10 - dev.Stats().Allocated - room; left > 0; {
		n := min(left&^3, 1<<30)
		b, err := dev.NewBuffer("filler", n)
		if err != nil {
			t.Skip("the buffers that fill the adapter's memory cannot be made: ", err)
		}
		t.Cleanup(b.Release)
		if left -= n; n == 0 {
			break
		}
	}
	attempt := func(set ...string) (*Trainer, []string, error) {
		var notes []string
		job, err := Prepare(t.Context(), deepConfig(t, append(set, "batch_size=8")...), Start{RunsDir: t.TempDir(), RunID: "r"},
			Events{Note: func(s string) { notes = append(notes, s) }})
		require.NoError(t, err)
		tr, err := job.Begin(t.Context(), dev)
		if err == nil {
			t.Cleanup(tr.Close)
		}
		return tr, notes, err
	}
	_, _, err = attempt("memory=fast")
	require.ErrorIs(t, err, gpu.ErrOutOfMemory)
	tr, notes, err := attempt("memory=auto")
	require.NoError(t, err)
	require.Positive(t, tr.Plan.Again())
	require.Contains(t, strings.Join(notes, "\n"), "has no room for all activations")
}

func TestMemoryIsChecked(t *testing.T) {
	for set, want := range map[string]string{
		"memory=little":        "must be auto, fast or low",
		"memory_budget=6":      "write it as 6GiB",
		"memory_budget=-1GiB":  "write it as 6GiB",
		"memory_budget=NaNGiB": "write it as 6GiB",
	} {
		c := tiny(t)
		require.NoError(t, c.Set(set))
		require.ErrorContains(t, c.Check(), want)
	}
	c := tiny(t)
	require.NoError(t, c.Set("memory=low"))
	require.NoError(t, c.Set("memory_budget=1GiB"))
	require.ErrorContains(t, c.Check(), "is for train.memory auto")
	n, err := ParseSize(" 1.5 GiB ")
	require.NoError(t, err)
	require.EqualValues(t, 3<<29, n)
}
