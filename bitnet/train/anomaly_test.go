package train

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/runs"
	"bitnet/bitnet/task"
	"bitnet/data"
	"bitnet/gpu"
	"bitnet/graph"
)

func TestJudge(t *testing.T) {
	steady := runs.Recent{}
	for i := range runs.RecentSteps + 5 {
		remember(&steady, graph.StepResult{Loss: 2 + 0.02*float32(i%5), GradNorm: 1 + 0.1*float32(i%3)}, false)
	}
	require.Len(t, steady.Loss, runs.RecentSteps)
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, row := range []struct {
		name string
		on   runs.Recent
		step graph.StepResult
		want []runs.AnomalyKind
	}{
		{"as ever", steady, graph.StepResult{Loss: 2.1, GradNorm: 2}, nil},
		{"much better", steady, graph.StepResult{Loss: 0.1, GradNorm: 0.01}, nil},
		{"a little worse", steady, graph.StepResult{Loss: 2.4, GradNorm: 5}, nil},
		{"spike", steady, graph.StepResult{Loss: 2.6, GradNorm: 5}, []runs.AnomalyKind{runs.LossSpike}},
		{"explosion", steady, graph.StepResult{Loss: 2.1, GradNorm: 20}, []runs.AnomalyKind{runs.GradExplosion}},
		{"both", steady, graph.StepResult{Loss: 20, GradNorm: 20}, []runs.AnomalyKind{runs.LossSpike, runs.GradExplosion}},
		{"no loss", steady, graph.StepResult{Loss: nan, GradNorm: 1}, []runs.AnomalyKind{runs.NotFinite}},
		{"no norm", steady, graph.StepResult{Loss: 2, GradNorm: inf}, []runs.AnomalyKind{runs.NotFinite}},
		{"too early to judge", runs.Recent{}, graph.StepResult{Loss: 20, GradNorm: 2000}, nil},
		{"never too early", runs.Recent{}, graph.StepResult{Loss: nan, GradNorm: 1}, []runs.AnomalyKind{runs.NotFinite}},
	} {
		var got []runs.AnomalyKind
		for _, a := range judge(&row.on, row.step, 1) {
			got = append(got, a.Kind)
			require.NotEmpty(t, a.Message)
		}
		require.Equal(t, row.want, got, row.name)
	}
	remember(&steady, graph.StepResult{Loss: nan, GradNorm: 1}, false)
	require.False(t, math.IsNaN(float64(steady.Loss[runs.RecentSteps-1])), "what is not finite is not remembered")
}

func TestJudgeShares(t *testing.T) {
	require.Empty(t, judgeShares([]graph.Shares{{Name: "a", Minus: 0.3, Zero: 0.4, Plus: 0.3}}))
	got := judgeShares([]graph.Shares{{Name: "a", Zero: 0.5}, {Name: "b", Zero: 1}, {Name: "c", Zero: 1}})
	require.Len(t, got, 1)
	require.Equal(t, runs.TernaryCollapse, got[0].Kind)
	require.Contains(t, got[0].Message, "2 of 3 projections, the first of them b")
}

func TestJudgeSamples(t *testing.T) {
	varied, circle := make([]uint32, 48), make([]uint32, 48)
	for i := range varied {
		varied[i] = uint32(i * i % 47)
		circle[i] = uint32(i)
		if i >= 20 {
			circle[i] = uint32(i % 4)
		}
	}
	same := make([]uint32, 48)
	for _, row := range []struct {
		name    string
		ids     []uint32
		entropy float64
		loss    float64
		want    []runs.AnomalyKind
	}{
		{"good", varied, 2, 2, nil},
		{"sure and right", varied, 1e-4, 0.1, nil},
		{"sure and wrong", varied, 1e-3, 2, []runs.AnomalyKind{runs.EntropyCollapse}},
		{"in a circle", circle, 2, 2, []runs.AnomalyKind{runs.Repetition}},
		{"one token", same, 2, 2, []runs.AnomalyKind{runs.Repetition, runs.EntropyCollapse}},
		{"short", same[:3], 1e-3, 2, nil},
		{"nothing", nil, 0, 2, nil},
	} {
		var got []runs.AnomalyKind
		for _, a := range judgeSamples([]runs.Sample{{Prompt: "x", Entropy: row.entropy}}, [][]uint32{row.ids}, row.loss) {
			got = append(got, a.Kind)
		}
		require.Equal(t, row.want, got, row.name)
	}
}

func TestEntropyOfLogits(t *testing.T) {
	require.InDelta(t, math.Log(8), entropyOfLogits(make([]float32, 8)), 1e-12)
	require.InDelta(t, 0, entropyOfLogits([]float32{0, 500, -500}), 1e-12)
	require.InDelta(t, 0.562335, entropyOfLogits([]float32{0, float32(math.Log(3))}), 1e-6)
}

func TestBatchesOf(t *testing.T) {
	s := runs.State{Skipped: []int64{2, 3, 6}}
	var got []int64
	for step := range int64(6) {
		got = append(got, batchesOf(&s, step))
	}
	require.Equal(t, []int64{0, 1, 4, 5, 7, 8}, got)
}

func anomaliesOf(t testing.TB, run string) []runs.Anomaly {
	f, err := os.Open(filepath.Join(run, "logs", "anomalies.jsonl"))
	require.NoError(t, err)
	defer f.Close()
	var out []runs.Anomaly
	for s := bufio.NewScanner(f); s.Scan(); {
		var a runs.Anomaly
		require.NoError(t, json.Unmarshal(s.Bytes(), &a))
		out = append(out, a)
	}
	return out
}

// poisoned gives a source in which the targets of some steps' batches are
// replaced by one that the model has learned to be wrong.
type poisoned struct {
	data.Source
	at   map[data.Position]bool
	seen []data.Position
}

func (p *poisoned) Next(b *data.Batch) error {
	at := p.Position()
	p.seen = append(p.seen, at)
	if err := p.Source.Next(b); err != nil {
		return err
	}
	if p.at[at] {
		for i := range b.Targets {
			b.Targets[i] = 0 // padding, which is never a target
		}
	}
	return nil
}

// poisonedTask trains on a poisoned source.
type poisonedTask struct {
	task.Task
	train data.Source
}

func (p poisonedTask) Train() data.Source { return p.train }

// spiky is a run whose step bad (from 0) has poisoned batches.
func spiky(t testing.TB, c *Config, dev *gpu.Device, start Start, events Events, bad int64) (*Trainer, *poisoned) {
	tr := begin(t, c, dev, start, events)
	src := &poisoned{Source: tr.task.Train(), at: map[data.Position]bool{}}
	now := src.Position()
	require.NoError(t, src.Seek(data.Position{}))
	b := data.NewBatch(c.Train.BatchSize, c.Train.SeqLen)
	for step := int64(0); step <= bad; step++ {
		for range c.Train.GradAccum {
			src.at[src.Position()] = step == bad
			require.NoError(t, src.Source.Next(b))
		}
	}
	require.NoError(t, src.Seek(now))
	tr.task = poisonedTask{tr.task, src}
	return tr, src
}

// learns is a run that learns enough for a spike to be one.
func learns(t testing.TB, policy runs.Action) *Config {
	c := tiny(t)
	for _, s := range []string{"hidden_size=32", "intermediate_size=48", "steps=80", "batch_size=8", "grad_accum=1", "learning_rate=4e-3", "loss_on_all=true",
		"log_interval=5", "checkpoint_interval=20", "keep_checkpoints=10", "on_anomaly=" + string(policy)} {
		require.NoError(t, c.Set(s))
	}
	return c
}

func TestSpikePolicies(t *testing.T) {
	dev := modeltest.Device(t)
	const bad = 52
	for _, policy := range []runs.Action{runs.Warn, runs.Stop, runs.RollBack} {
		t.Run(string(policy), func(t *testing.T) {
			var told []runs.Anomaly
			tr, _ := spiky(t, learns(t, policy), dev, Start{RunsDir: t.TempDir(), RunID: "run"}, Events{Anomaly: func(a runs.Anomaly) { told = append(told, a) }}, bad)
			err := tr.Train(context.Background())
			got := anomaliesOf(t, tr.Run.Dir)
			require.NotEmpty(t, got)
			require.Len(t, told, len(got))
			a := got[0]
			require.Equal(t, runs.LossSpike, a.Kind)
			require.Equal(t, int64(bad+1), a.Step)
			require.Equal(t, policy, a.Action)
			require.Greater(t, a.Value, a.Limit)

			var dump struct {
				Anomaly runs.Anomaly   `json:"anomaly"`
				Config  map[string]any `json:"config"`
				Batches []batchRecord  `json:"batches"`
				Steps   []stepRecord   `json:"steps"`
				Seed    uint64         `json:"seed"`
			}
			text, readErr := os.ReadFile(filepath.Join(tr.Run.Dir, a.Dump))
			require.NoError(t, readErr)
			require.NoError(t, json.Unmarshal(text, &dump))
			require.Equal(t, a.Step, dump.Anomaly.Step)
			require.EqualValues(t, 42, dump.Seed)
			require.Len(t, dump.Batches, 1)
			require.Len(t, dump.Batches[0].Targets, 8)
			require.EqualValues(t, 0, dump.Batches[0].Targets[3][5], "the poisoned batch itself is in the dump")
			require.Contains(t, dump.Batches[0].Text[0], "<s>")
			found := false
			for _, s := range dump.Steps {
				found = found || s.Step == a.Step && s.Loss == a.Value
			}
			require.True(t, found, "the step is in the window of the dump")

			metrics := metricsOf(t, tr.Run.Dir)
			switch policy {
			case runs.Warn:
				require.NoError(t, err)
				require.Contains(t, metrics, int64(80))
			case runs.Stop:
				require.ErrorIs(t, err, ErrAnomaly)
				require.ErrorContains(t, err, "--resume "+tr.Run.Dir+" --on-anomaly rollback")
				require.EqualValues(t, 55, tr.Step())
				require.EqualValues(t, 41, tr.saved)
			case runs.RollBack:
				require.NoError(t, err)
				require.Len(t, got, 1, "the batch is left out")
				require.Contains(t, metrics, int64(80))
				_, state, err := FindCheckpoint(tr.Run.Dir, func(s string) { t.Error(s) })
				require.NoError(t, err)
				require.Equal(t, []int64{bad - 1, bad}, state.Skipped)
				require.Equal(t, 1, state.Rollbacks)
			}
			tr.Close()
			require.NoFileExists(t, filepath.Join(tr.Run.Dir, "logs", "alive.json"))
		})
	}
}

// A run that rolled back is resumed bit for bit from any of its checkpoints:
// from those before the anomaly, which know nothing of it, as well.
func TestResumeAfterRollback(t *testing.T) {
	dev := modeltest.Device(t)
	const bad = 52
	whole, _ := spiky(t, learns(t, runs.RollBack), dev, Start{RunsDir: t.TempDir(), RunID: "run"}, Events{}, bad)
	require.NoError(t, whole.Train(context.Background()))
	want := finalSum(t, whole.Run.Dir, 80)
	steps := metricsOf(t, whole.Run.Dir)
	whole.Close()
	list := whole.Run.Checkpoints()
	require.GreaterOrEqual(t, len(list), 5)
	for _, c := range list {
		step := runs.CheckpointStep(c)
		if step == 80 {
			continue
		}
		t.Run(fmt.Sprint(step), func(t *testing.T) {
			run := filepath.Join(t.TempDir(), "run")
			require.NoError(t, os.CopyFS(run, os.DirFS(whole.Run.Dir)))
			again, src := spiky(t, learns(t, runs.RollBack), dev, Start{Resume: filepath.Join(run, "checkpoints", filepath.Base(c))}, Events{}, bad)
			require.NoError(t, again.Train(context.Background()))
			require.Equal(t, want, finalSum(t, run, 80))
			require.NotEmpty(t, src.seen)
			for s, m := range metricsOf(t, run) {
				require.Equal(t, steps[s].Get(runs.Loss), m.Get(runs.Loss), "loss of step %d", s)
			}
			require.Len(t, anomaliesOf(t, run), 1)
		})
	}
}

func TestNotFinite(t *testing.T) {
	dev := modeltest.Device(t)
	// wild makes the weights overflow after step 10, again and again: what Check
	// refuses is set behind its back.
	wild := func(c *Config) (*Trainer, error) {
		var tr *Trainer
		tr = begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "run"}, Events{
			Step: func(step int64) {
				if step == 10 {
					tr.Config.Train.LearningRate = 1e38
				}
			},
			Anomaly: func(runs.Anomaly) { tr.Config.Train.LearningRate = c.Train.LearningRate },
		})
		return tr, tr.Train(context.Background())
	}
	for policy, actions := range map[runs.Action][]runs.Action{runs.Warn: {runs.Stop}, runs.Stop: {runs.Stop}} {
		tr, err := wild(learns(t, policy))
		require.ErrorIs(t, err, ErrAnomaly)
		var got []runs.Action
		for _, a := range anomaliesOf(t, tr.Run.Dir) {
			require.Equal(t, runs.NotFinite, a.Kind)
			require.FileExists(t, filepath.Join(tr.Run.Dir, a.Dump))
			got = append(got, a.Action)
		}
		require.Equal(t, actions, got)
		require.Empty(t, tr.Run.Checkpoints())
		require.EqualValues(t, -1, tr.saved, "nothing that is not finite is saved")
	}

	// Rolling back does not cure a learning rate: it ends after some times.
	tr, err := wild(learns(t, runs.RollBack))
	require.ErrorIs(t, err, ErrAnomaly)
	require.ErrorContains(t, err, "after 8 rollbacks")
	all := anomaliesOf(t, tr.Run.Dir)
	require.Len(t, all, maxRollbacks+1)
	require.Equal(t, runs.Stop, all[maxRollbacks].Action)
	_, state, err := FindCheckpoint(tr.Run.Dir, func(s string) { t.Error(s) })
	require.NoError(t, err)
	require.Zero(t, state.Step, "the beginning is still there to go back to")
}

// What breaks the weights once is undone by a rollback, as if it had not been
// but for the batches left out.
func TestBrokenWeightsAreRolledBack(t *testing.T) {
	dev := modeltest.Device(t)
	for _, row := range []struct {
		name  string
		value float32
		want  runs.AnomalyKind
	}{{"nan", float32(math.NaN()), runs.NotFinite}, {"explosion", 300, runs.GradExplosion}} {
		t.Run(row.name, func(t *testing.T) {
			var tr *Trainer
			broken := false
			c := learns(t, runs.RollBack)
			tr = begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "run"}, Events{Metrics: func(m runs.Metrics) {
				if m.Step == 50 && !broken {
					broken = true
					for _, p := range tr.model.Params.All() {
						if p.IsVector() && p.Parts[0].Name == "model.norm.weight" {
							values := make([]float32, p.Cols)
							for i := range values {
								values[i] = row.value
							}
							require.NoError(t, p.Write(graph.Master, values))
						}
					}
				}
			}})
			require.NoError(t, tr.Train(context.Background()))
			require.True(t, broken)
			got := anomaliesOf(t, tr.Run.Dir)
			require.NotEmpty(t, got)
			kinds := map[runs.AnomalyKind]bool{}
			for _, a := range got {
				kinds[a.Kind] = true
				require.Equal(t, runs.RollBack, a.Action)
				require.EqualValues(t, 51, a.Step)
			}
			if row.want == runs.NotFinite {
				require.True(t, kinds[runs.NotFinite])
			}
			require.Contains(t, metricsOf(t, tr.Run.Dir), int64(80))
			require.Equal(t, 1, tr.state.Rollbacks)
		})
	}
}

func TestTernaryCollapse(t *testing.T) {
	dev := modeltest.Device(t)
	c := learns(t, runs.RollBack)
	require.NoError(t, c.Set("steps=20"))
	require.NoError(t, c.Set("learning_rate=1e-9"))
	tr := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "run"}, Events{})
	for _, p := range tr.model.Params.All() {
		if len(p.Parts) == 3 { // q, k and v
			require.NoError(t, p.Write(graph.Master, make([]float32, p.Rows*p.Cols)))
		}
	}
	require.NoError(t, tr.model.Params.Quantize(dev))
	require.NoError(t, tr.Train(context.Background()))
	got := anomaliesOf(t, tr.Run.Dir)
	require.Len(t, got, 1, "told once, not at every line")
	require.Equal(t, runs.TernaryCollapse, got[0].Kind)
	require.Equal(t, runs.Warn, got[0].Action, "no batch is to blame")
	require.EqualValues(t, 1, got[0].Step)
	require.Contains(t, got[0].Message, "3 of 7 projections")
	require.FileExists(t, filepath.Join(tr.Run.Dir, got[0].Dump))
}

// A long log has the ternary shares on every tenth line at least, a short one
// on every line; the first line always has.
func TestSharesDue(t *testing.T) {
	for _, row := range []struct {
		steps, interval int
		want            []int64 // the first lines that have them, and the last
		count           int
	}{
		{30, 1, []int64{1, 2, 3, 30}, 30},
		{100, 10, []int64{10, 20, 30, 100}, 10},
		{10000, 100, []int64{100, 200, 300, 10000}, 100},
		{300, 1, []int64{1, 3, 6, 300}, 101},
		{400000, 100, []int64{100, 1000, 2000, 400000}, 401},
	} {
		c := tiny(t)
		c.Train.Steps, c.Output.LogInterval = row.steps, row.interval
		tr := &Trainer{Config: *c}
		tr.unlogged = make([]graph.StepResult, row.interval)
		var due []int64
		for tr.state.Step < int64(row.steps) {
			tr.state.Step += int64(row.interval)
			if tr.sharesDue() {
				due = append(due, tr.state.Step)
			}
		}
		require.Len(t, due, row.count, row)
		require.Equal(t, row.want, append(due[:3:3], due[len(due)-1]), row)
	}
}

// An untrained model that is asked to go on says one thing for ever.
func TestCollapsedSamples(t *testing.T) {
	dev := modeltest.Device(t)
	c := learns(t, runs.Warn)
	for _, s := range []string{"steps=400", "learning_rate=1e-9", "batch_size=1", "log_interval=100", "sample_interval=100", "checkpoint_interval=0", "max_position_embeddings=128", "seq_len=64", `prompts=["1 + 2 = "]`} {
		require.NoError(t, c.Set(s))
	}
	tr := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "run"}, Events{})
	// All embeddings alike but one: its token is the likeliest whatever went before.
	for _, p := range tr.model.Params.All() {
		if p.Parts[0].Name == "model.embed_tokens.weight" {
			values := make([]float32, p.Rows*p.Cols)
			for i := range values {
				values[i] = 0.01
				if i/p.Cols == 9 {
					values[i] = 1
				}
			}
			require.NoError(t, p.Write(graph.Master, values))
		}
	}
	require.NoError(t, tr.Train(context.Background()))
	kinds := map[runs.AnomalyKind]int{}
	for _, a := range anomaliesOf(t, tr.Run.Dir) {
		kinds[a.Kind]++
		require.EqualValues(t, judgedFrom, a.Step)
		require.FileExists(t, filepath.Join(tr.Run.Dir, a.Dump))
	}
	require.Equal(t, 1, kinds[runs.Repetition], "told once")
	require.Equal(t, 1, kinds[runs.EntropyCollapse], "told once")
}
