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

	"bitnet/bitnet/runs"
	"bitnet/data"
	"bitnet/gpu"
	"bitnet/graph"
)

func TestJudge(t *testing.T) {
	steady := recent{}
	for i := range recentSteps + 5 {
		steady.add(graph.StepResult{Loss: 2 + 0.02*float32(i%5), GradNorm: 1 + 0.1*float32(i%3)})
	}
	require.Len(t, steady.Loss, recentSteps)
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, row := range []struct {
		name string
		on   recent
		step graph.StepResult
		want []AnomalyKind
	}{
		{"as ever", steady, graph.StepResult{Loss: 2.1, GradNorm: 2}, nil},
		{"much better", steady, graph.StepResult{Loss: 0.1, GradNorm: 0.01}, nil},
		{"a little worse", steady, graph.StepResult{Loss: 2.4, GradNorm: 5}, nil},
		{"spike", steady, graph.StepResult{Loss: 2.6, GradNorm: 5}, []AnomalyKind{LossSpike}},
		{"explosion", steady, graph.StepResult{Loss: 2.1, GradNorm: 20}, []AnomalyKind{GradExplosion}},
		{"both", steady, graph.StepResult{Loss: 20, GradNorm: 20}, []AnomalyKind{LossSpike, GradExplosion}},
		{"no loss", steady, graph.StepResult{Loss: nan, GradNorm: 1}, []AnomalyKind{NotFinite}},
		{"no norm", steady, graph.StepResult{Loss: 2, GradNorm: inf}, []AnomalyKind{NotFinite}},
		{"too early to judge", recent{}, graph.StepResult{Loss: 20, GradNorm: 2000}, nil},
		{"never too early", recent{}, graph.StepResult{Loss: nan, GradNorm: 1}, []AnomalyKind{NotFinite}},
	} {
		var got []AnomalyKind
		for _, a := range row.on.judge(row.step, 1) {
			got = append(got, a.Kind)
			require.NotEmpty(t, a.Message)
		}
		require.Equal(t, row.want, got, row.name)
	}
	steady.add(graph.StepResult{Loss: nan, GradNorm: 1})
	require.False(t, math.IsNaN(float64(steady.Loss[recentSteps-1])), "what is not finite is not remembered")
}

func TestJudgeShares(t *testing.T) {
	require.Empty(t, judgeShares([]graph.Shares{{Name: "a", Minus: 0.3, Zero: 0.4, Plus: 0.3}}))
	got := judgeShares([]graph.Shares{{Name: "a", Zero: 0.5}, {Name: "b", Zero: 1}, {Name: "c", Zero: 1}})
	require.Len(t, got, 1)
	require.Equal(t, TernaryCollapse, got[0].Kind)
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
		want    []AnomalyKind
	}{
		{"good", varied, 2, 2, nil},
		{"sure and right", varied, 1e-4, 0.1, nil},
		{"sure and wrong", varied, 1e-3, 2, []AnomalyKind{EntropyCollapse}},
		{"in a circle", circle, 2, 2, []AnomalyKind{Repetition}},
		{"one token", same, 2, 2, []AnomalyKind{Repetition, EntropyCollapse}},
		{"short", same[:3], 1e-3, 2, nil},
		{"nothing", nil, 0, 2, nil},
	} {
		var got []AnomalyKind
		for _, a := range judgeSamples([]Sample{{Prompt: "x", Entropy: row.entropy}}, [][]uint32{row.ids}, row.loss) {
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
	s := State{Skipped: []int64{2, 3, 6}}
	var got []int64
	for step := range int64(6) {
		got = append(got, s.batchesOf(step))
	}
	require.Equal(t, []int64{0, 1, 4, 5, 7, 8}, got)
}

func anomaliesOf(t testing.TB, run string) []Anomaly {
	f, err := os.Open(filepath.Join(run, "logs", "anomalies.jsonl"))
	require.NoError(t, err)
	defer f.Close()
	var out []Anomaly
	for s := bufio.NewScanner(f); s.Scan(); {
		var a Anomaly
		require.NoError(t, json.Unmarshal(s.Bytes(), &a))
		out = append(out, a)
	}
	return out
}

// poisoned gives a corpus in which the targets of some steps' batches are
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

// spiky is a run whose step bad (from 0) has poisoned batches.
func spiky(t testing.TB, c *Config, dev *gpu.Device, start Start, events Events, bad int64) (*Trainer, *poisoned) {
	tr, err := NewTrainer(context.Background(), c, dev, start, events)
	require.NoError(t, err)
	src := &poisoned{Source: tr.corpus.train, at: map[data.Position]bool{}}
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
	tr.corpus.train = src
	return tr, src
}

// learns is a run that learns enough for a spike to be one.
func learns(t testing.TB, policy string) *Config {
	c := tiny(t)
	for _, s := range []string{"hidden_size=32", "intermediate_size=48", "steps=80", "batch_size=8", "grad_accum=1", "learning_rate=4e-3", "loss_on_all=true",
		"log_interval=5", "checkpoint_interval=20", "keep_checkpoints=10", "on_anomaly=" + policy} {
		require.NoError(t, c.Set(s))
	}
	return c
}

func TestSpikePolicies(t *testing.T) {
	dev := openDevice(t)
	const bad = 52
	for _, policy := range []string{Warn, Stop, RollBack} {
		t.Run(policy, func(t *testing.T) {
			var told []Anomaly
			tr, _ := spiky(t, learns(t, policy), dev, Start{RunsDir: t.TempDir(), RunID: "run"}, Events{Anomaly: func(a Anomaly) { told = append(told, a) }}, bad)
			err := tr.Run(context.Background())
			got := anomaliesOf(t, tr.Dir)
			require.NotEmpty(t, got)
			require.Len(t, told, len(got))
			a := got[0]
			require.Equal(t, LossSpike, a.Kind)
			require.Equal(t, int64(bad+1), a.Step)
			require.Equal(t, policy, a.Action)
			require.Greater(t, a.Value, a.Limit)

			var dump struct {
				Anomaly Anomaly        `json:"anomaly"`
				Config  map[string]any `json:"config"`
				Batches []batchRecord  `json:"batches"`
				Steps   []stepRecord   `json:"steps"`
				Seed    uint64         `json:"seed"`
			}
			text, readErr := os.ReadFile(filepath.Join(tr.Dir, a.Dump))
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

			metrics := metricsOf(t, tr.Dir)
			switch policy {
			case Warn:
				require.NoError(t, err)
				require.Contains(t, metrics, int64(80))
			case Stop:
				require.ErrorIs(t, err, ErrAnomaly)
				require.ErrorContains(t, err, "--resume "+tr.Dir+" --on-anomaly rollback")
				require.EqualValues(t, 55, tr.Step())
				require.EqualValues(t, 41, tr.saved)
			case RollBack:
				require.NoError(t, err)
				require.Len(t, got, 1, "the batch is left out")
				require.Contains(t, metrics, int64(80))
				_, state, err := FindCheckpoint(tr.Dir, func(s string) { t.Error(s) })
				require.NoError(t, err)
				require.Equal(t, []int64{bad - 1, bad}, state.Skipped)
				require.Equal(t, 1, state.Rollbacks)
			}
			require.NoFileExists(t, alivePath(tr.Dir))
		})
	}
}

// A run that rolled back is resumed bit for bit from any of its checkpoints:
// from those before the anomaly, which know nothing of it, as well.
func TestResumeAfterRollback(t *testing.T) {
	dev := openDevice(t)
	const bad = 52
	whole, _ := spiky(t, learns(t, RollBack), dev, Start{RunsDir: t.TempDir(), RunID: "run"}, Events{}, bad)
	require.NoError(t, whole.Run(context.Background()))
	want := finalSum(t, whole.Dir, 80)
	steps := metricsOf(t, whole.Dir)
	list, err := Checkpoints(whole.Dir)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(list), 5)
	for _, c := range list {
		step := runs.CheckpointStep(c)
		if step == 80 {
			continue
		}
		t.Run(fmt.Sprint(step), func(t *testing.T) {
			run := filepath.Join(t.TempDir(), "run")
			require.NoError(t, os.CopyFS(run, os.DirFS(whole.Dir)))
			again, src := spiky(t, learns(t, RollBack), dev, Start{Resume: filepath.Join(run, "checkpoints", filepath.Base(c))}, Events{}, bad)
			require.NoError(t, again.Run(context.Background()))
			require.Equal(t, want, finalSum(t, run, 80))
			require.NotEmpty(t, src.seen)
			for s, m := range metricsOf(t, run) {
				require.Equal(t, steps[s].Loss, m.Loss, "loss of step %d", s)
			}
			require.Len(t, anomaliesOf(t, run), 1)
		})
	}
}

func TestNotFinite(t *testing.T) {
	dev := openDevice(t)
	// wild makes the weights overflow: what Check refuses is set behind its back.
	wild := func(c *Config) (*Trainer, error) {
		tr, err := NewTrainer(context.Background(), c, dev, Start{RunsDir: t.TempDir(), RunID: "run"}, Events{})
		require.NoError(t, err)
		c.Train.LearningRate = 1e38
		return tr, tr.Run(context.Background())
	}
	for policy, actions := range map[string][]string{Warn: {Stop}, Stop: {Stop}} {
		tr, err := wild(learns(t, policy))
		require.ErrorIs(t, err, ErrAnomaly)
		var got []string
		for _, a := range anomaliesOf(t, tr.Dir) {
			require.Equal(t, NotFinite, a.Kind)
			require.FileExists(t, filepath.Join(tr.Dir, a.Dump))
			got = append(got, a.Action)
		}
		require.Equal(t, actions, got)
		_, err = Checkpoints(tr.Dir)
		require.NoError(t, err)
		require.EqualValues(t, -1, tr.saved, "nothing that is not finite is saved")
	}

	// Rolling back does not cure a learning rate: it ends after some times.
	tr, err := wild(learns(t, RollBack))
	require.ErrorIs(t, err, ErrAnomaly)
	require.ErrorContains(t, err, "after 8 rollbacks")
	all := anomaliesOf(t, tr.Dir)
	require.Len(t, all, maxRollbacks+1)
	require.Equal(t, Stop, all[maxRollbacks].Action)
	_, state, err := FindCheckpoint(tr.Dir, func(s string) { t.Error(s) })
	require.NoError(t, err)
	require.Zero(t, state.Step, "the beginning is still there to go back to")
}

// What breaks the weights once is undone by a rollback, as if it had not been
// but for the batches left out.
func TestBrokenWeightsAreRolledBack(t *testing.T) {
	dev := openDevice(t)
	for _, row := range []struct {
		name  string
		value float32
		want  AnomalyKind
	}{{"nan", float32(math.NaN()), NotFinite}, {"explosion", 300, GradExplosion}} {
		t.Run(row.name, func(t *testing.T) {
			var tr *Trainer
			broken := false
			c := learns(t, RollBack)
			tr, err := NewTrainer(context.Background(), c, dev, Start{RunsDir: t.TempDir(), RunID: "run"}, Events{Metrics: func(m Metrics) {
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
			require.NoError(t, err)
			require.NoError(t, tr.Run(context.Background()))
			require.True(t, broken)
			got := anomaliesOf(t, tr.Dir)
			require.NotEmpty(t, got)
			kinds := map[AnomalyKind]bool{}
			for _, a := range got {
				kinds[a.Kind] = true
				require.Equal(t, RollBack, a.Action)
				require.EqualValues(t, 51, a.Step)
			}
			if row.want == NotFinite {
				require.True(t, kinds[NotFinite])
			}
			require.Contains(t, metricsOf(t, tr.Dir), int64(80))
			require.Equal(t, 1, tr.state.Rollbacks)
		})
	}
}

func TestTernaryCollapse(t *testing.T) {
	dev := openDevice(t)
	c := learns(t, RollBack)
	require.NoError(t, c.Set("steps=20"))
	require.NoError(t, c.Set("learning_rate=1e-9"))
	tr, err := NewTrainer(context.Background(), c, dev, Start{RunsDir: t.TempDir(), RunID: "run"}, Events{})
	require.NoError(t, err)
	for _, p := range tr.model.Params.All() {
		if len(p.Parts) == 3 { // q, k and v
			require.NoError(t, p.Write(graph.Master, make([]float32, p.Rows*p.Cols)))
		}
	}
	require.NoError(t, tr.model.Params.Quantize(dev))
	require.NoError(t, tr.Run(context.Background()))
	got := anomaliesOf(t, tr.Dir)
	require.Len(t, got, 1, "told once, not at every line")
	require.Equal(t, TernaryCollapse, got[0].Kind)
	require.Equal(t, Warn, got[0].Action, "no batch is to blame")
	require.EqualValues(t, 5, got[0].Step)
	require.Contains(t, got[0].Message, "3 of 7 projections")
	require.FileExists(t, filepath.Join(tr.Dir, got[0].Dump))
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
		tr := &Trainer{Config: c}
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
	dev := openDevice(t)
	c := learns(t, Warn)
	for _, s := range []string{"steps=400", "learning_rate=1e-9", "batch_size=1", "log_interval=100", "sample_interval=100", "checkpoint_interval=0", "max_position_embeddings=128", "seq_len=64", `prompts=["1 + 2 = "]`} {
		require.NoError(t, c.Set(s))
	}
	tr, err := NewTrainer(context.Background(), c, dev, Start{RunsDir: t.TempDir(), RunID: "run"}, Events{})
	require.NoError(t, err)
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
	require.NoError(t, tr.Run(context.Background()))
	kinds := map[AnomalyKind]int{}
	for _, a := range anomaliesOf(t, tr.Dir) {
		kinds[a.Kind]++
		require.EqualValues(t, judgedFrom, a.Step)
		require.FileExists(t, filepath.Join(tr.Dir, a.Dump))
	}
	require.Equal(t, 1, kinds[Repetition], "told once")
	require.Equal(t, 1, kinds[EntropyCollapse], "told once")
}
