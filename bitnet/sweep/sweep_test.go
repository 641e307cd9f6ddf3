package sweep

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/runs"
	"bitnet/bitnet/train"
	"bitnet/gpu"
)

func base(t testing.TB, steps string) *train.Config {
	c, err := train.Preset("simple")
	require.NoError(t, err)
	for _, s := range []string{"steps=" + steps, "batch_size=4", "eval_samples=8", "eval_interval=0", "warmup_steps=2", "hidden_size=32",
		"intermediate_size=32", "num_hidden_layers=1", "tuning=off", "checkpoint_interval=3"} {
		require.NoError(t, c.Set(s))
	}
	return c
}

// trainerOn trains for real.
func trainerOn(dev *gpu.Device) Trainer {
	return func(ctx context.Context, c *train.Config, start train.Start, events train.Events) error {
		job, err := train.Prepare(ctx, c, start, events)
		if err != nil {
			return err
		}
		tr, err := job.Begin(ctx, dev)
		if err != nil {
			return err
		}
		defer tr.Close()
		return tr.Train(ctx)
	}
}

func grid(t testing.TB, texts ...string) [][]string {
	points, err := Grid(dimensions(t, texts...))
	require.NoError(t, err)
	return points
}

func create(t testing.TB, p *Plan) *Sweep {
	s, joined, err := Create(filepath.Join(t.TempDir(), "sweep"), p)
	require.NoError(t, err)
	require.False(t, joined)
	return s
}

func results(t testing.TB, s *Sweep) (rows []Row) {
	rows, err := s.Results()
	require.NoError(t, err)
	return rows
}

// Halving trains all settings for a part of their steps and the better ones to the
// end; a sweep that was stopped in the middle of trials ends with the same values.
func TestHalvingAndStopping(t *testing.T) {
	dev := modeltest.Device(t)
	p, err := NewPlan(base(t, "18"), Options{Points: grid(t, "learning_rate=1e-5,1e-3,1e-2,3e-2"), Seeds: 1, Halve: 2})
	require.NoError(t, err)
	require.Equal(t, 3, p.Rounds)
	whole := create(t, p)
	var legs []Leg
	require.NoError(t, whole.Run(context.Background(), Budget{}, trainerOn(dev), Observer{Begin: func(l Leg) { legs = append(legs, l) }}))
	var until []int
	for _, l := range legs {
		until = append(until, l.Until)
	}
	require.Equal(t, []int{5, 5, 5, 5, 10, 10, 18}, until)
	rows := results(t, whole)
	require.Len(t, rows, 4)
	require.True(t, rows[0].Done)
	require.Equal(t, []int{18, 10, 5, 5}, []int{rows[0].Steps, rows[1].Steps, rows[2].Steps, rows[3].Steps})
	require.Equal(t, []string{"learning_rate=1e-5"}, rows[3].Set, "it hardly learns")
	require.Less(t, float64(rows[2].Value), float64(rows[3].Value))

	cut := create(t, p)
	for i := 0; ; i++ {
		require.Less(t, i, 100)
		ctx, stop := context.WithCancel(context.Background())
		steps := 0
		err := cut.Run(ctx, Budget{}, trainerOn(dev), Observer{Step: func(Leg, int64) {
			if steps++; steps == 7 {
				stop()
			}
		}})
		stop()
		if err == nil {
			break
		}
		require.ErrorIs(t, err, context.Canceled)
	}
	require.Equal(t, rows, results(t, cut))
	left, err := cut.Left()
	require.NoError(t, err)
	require.Zero(t, left)

	// The best settings, as a configuration, train to the same loss.
	require.NoError(t, whole.Write(rows))
	best, err := train.LoadConfig(whole.BestPath())
	require.NoError(t, err)
	dir := t.TempDir()
	require.NoError(t, trainerOn(dev)(context.Background(), best, train.Start{RunsDir: dir, RunID: "again"}, train.Events{}))
	r, err := runs.Open(filepath.Join(dir, "again"))
	require.NoError(t, err)
	evals, err := r.Evals()
	require.NoError(t, err)
	require.Equal(t, float64(rows[0].Value), float64(evals[len(evals)-1].Loss))
}

// Trials that cannot become good are stopped and come last; seeds are averaged.
func TestHopelessAndSeeds(t *testing.T) {
	dev := modeltest.Device(t)
	p, err := NewPlan(base(t, "6"), Options{Points: grid(t, "learning_rate=9,1e-2"), Seeds: 2})
	require.NoError(t, err)
	s := create(t, p)
	require.NoError(t, s.Run(context.Background(), Budget{}, trainerOn(dev), Observer{}))
	rows := results(t, s)
	require.Equal(t, []string{"learning_rate=1e-2"}, rows[0].Set)
	require.Less(t, float64(rows[0].Lowest), float64(rows[0].Highest), "two seeds")
	require.InDelta(t, (float64(rows[0].Lowest)+float64(rows[0].Highest))/2, float64(rows[0].Value), 1e-12)
	require.Contains(t, rows[1].Stopped, "worse than guessing")
	path, err := s.WriteChart(rows)
	require.NoError(t, err)
	require.Empty(t, path, "one value is no curve")
}

// Budgets end a sweep between trials; a larger one continues it.
func TestBudgets(t *testing.T) {
	dev := modeltest.Device(t)
	c := base(t, "4")
	p, err := NewPlan(c, Options{Points: grid(t, "learning_rate=1e-3,2e-3,4e-3"), Seeds: 1})
	require.NoError(t, err)
	s := create(t, p)
	require.ErrorIs(t, s.Run(context.Background(), Budget{Trials: 1}, trainerOn(dev), Observer{}), ErrBudget)
	require.Equal(t, 1, finished(results(t, s)))
	require.ErrorIs(t, s.Run(context.Background(), Budget{Tokens: 9 * c.TokensPerStep()}, trainerOn(dev), Observer{}), ErrBudget)
	require.Equal(t, 2, finished(results(t, s)))
	require.NoError(t, s.Run(context.Background(), Budget{}, trainerOn(dev), Observer{}))
	rows := results(t, s)
	require.Equal(t, 3, finished(rows))
	names, panels := s.Chart(rows)
	require.Equal(t, []string{"all settings"}, names)
	require.Len(t, panels, 1)
	require.Equal(t, []float64{1e-3, 2e-3, 4e-3}, panels[0].Curves[0].X)
	path, err := s.WriteChart(rows)
	require.NoError(t, err)
	require.FileExists(t, path)
	require.NoError(t, s.Write(rows))
	var stored struct{ Rows []Row }
	text, err := os.ReadFile(filepath.Join(s.Dir, "results.json"))
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &stored))
	require.Equal(t, rows[0].Value, stored.Rows[0].Value)
}

func finished(rows []Row) (n int) {
	for _, r := range rows {
		if r.Done {
			n++
		}
	}
	return n
}

// Two that work on one sweep share the trials: none is trained twice.
func TestSharing(t *testing.T) {
	p, err := NewPlan(base(t, "8"), Options{Points: grid(t, "learning_rate=1e-3..1e-2/12"), Seeds: 1, Halve: 2})
	require.NoError(t, err)
	a := create(t, p)
	b, joined, err := Create(a.Dir, p)
	require.NoError(t, err)
	require.True(t, joined, "the same plan")
	var mu sync.Mutex
	trained := map[string]int{}
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i, s := range []*Sweep{a, b} {
		wg.Go(func() {
			errs[i] = s.Run(context.Background(), Budget{}, pretend(t), Observer{End: func(l Leg, _ string) {
				mu.Lock()
				defer mu.Unlock()
				trained[l.Trial.ID+" "+string(rune('0'+l.Round))]++
			}})
		})
	}
	wg.Wait()
	require.NoError(t, errors.Join(errs...))
	for leg, n := range trained {
		require.Equal(t, 1, n, leg)
	}
	require.Len(t, trained, 12+6+3+2, "12 trials, 6 of them to the second round, 3, 2")
	other, err := NewPlan(base(t, "8"), Options{Points: grid(t, "learning_rate=1,2"), Seeds: 1})
	require.NoError(t, err)
	_, _, err = Create(a.Dir, other)
	require.ErrorContains(t, err, "holds something else")
}

// pretend is a trainer without a device: it writes an evaluation, whose loss falls
// with the learning rate, at each interval.
func pretend(t *testing.T) Trainer {
	return func(ctx context.Context, c *train.Config, start train.Start, events train.Events) error {
		r, err := runs.Open(filepath.Join(start.RunsDir, start.RunID))
		if err != nil {
			if r, err = runs.Create(start.RunsDir, start.RunID, c.YAML()); err != nil {
				return err
			}
		}
		unlock, err := r.Lock()
		if err != nil {
			return err
		}
		defer unlock()
		before, err := r.Evals()
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		for step := 1; step <= c.Train.Steps && ctx.Err() == nil; step++ {
			every := c.Output.EvalInterval
			if step != c.Train.Steps && (every == 0 || step%every != 0) ||
				slices.ContainsFunc(before, func(e runs.Eval) bool { return e.Step == int64(step) }) {
				continue
			}
			e := runs.Eval{Step: int64(step), Loss: runs.Number(2 - c.Train.LearningRate - 0.01*float64(step)), Perplexity: 1, Tokens: 1}
			text, err := json.Marshal(e)
			require.NoError(t, err)
			f, err := os.OpenFile(r.Log("eval"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
			if err != nil {
				return err
			}
			_, err = f.Write(append(text, '\n'))
			if err := errors.Join(err, f.Close()); err != nil {
				return err
			}
			events.Eval(e)
		}
		return ctx.Err()
	}
}

func TestPlansThatAreRefused(t *testing.T) {
	points := grid(t, "learning_rate=1e-3,2e-3")
	for want, o := range map[string]Options{
		"something to try": {Seeds: 1},
		"--seeds":          {Points: points},
		"--halve":          {Points: points, Seeds: 1, Halve: 1},
		"no key":           {Points: [][]string{{"learning_ratio=1"}}, Seeds: 1},
		"trial 001":        {Points: [][]string{{"learning_rate=-1"}}, Seeds: 1},
	} {
		_, err := NewPlan(base(t, "4"), o)
		require.ErrorContains(t, err, want)
	}
	p, err := NewPlan(base(t, "4"), Options{Points: points, Seeds: 1, By: "beauty"})
	require.NoError(t, err)
	s := create(t, p)
	err = s.Run(context.Background(), Budget{}, pretend(t), Observer{})
	require.ErrorContains(t, err, "--by beauty: evaluations have no such score; they have: validation loss")

	// A damaged plan is refused.
	path := filepath.Join(s.Dir, planName)
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, change := range [][2]string{{`id: "001"`, `id: ../x`}, {"rounds: 1", "rounds: 4"}, {"by:", "bye:"}, {"learning_rate=1e-3", "learning_rate=x"}} {
		changed := strings.Replace(string(text), change[0], change[1], 1)
		require.NotEqual(t, string(text), changed, change[0])
		require.NoError(t, os.WriteFile(path, []byte(changed), 0o644))
		_, err := Open(s.Dir)
		require.Error(t, err, change[1])
	}
	_, err = Open(t.TempDir())
	require.ErrorContains(t, err, "not the folder of a sweep")
}
