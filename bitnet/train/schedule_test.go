package train

import (
	"context"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/runs"
)

func pointer[T any](v T) *T { return &v }

// The learning rate at the corners of each schedule, computed by hand.
func TestScheduleCorners(t *testing.T) {
	for _, row := range []struct {
		name string
		t    Optimisation
		want map[int64]float64 // by step from 0, for a peak of 1
		late int64             // first step with the later weight decay
	}{
		{"two-stage", Optimisation{Schedule: TwoStage}, map[int64]float64{
			0: 0.1, 9: 1, 10: 1, 30: 5. / 6, 50: 2. / 3, 75: (2./3 + 0.001) / 2, 99: 2./3 - 0.98*(2./3-0.001)}, 50},
		{"no schedule is two-stage", Optimisation{}, map[int64]float64{
			0: 0.1, 9: 1, 10: 1, 50: 2. / 3, 99: 2./3 - 0.98*(2./3-0.001)}, 50},
		{"two-stage to a tenth", Optimisation{FinalLRRatio: pointer(0.1)}, map[int64]float64{50: 2. / 3, 75: (2./3 + 0.1) / 2}, 50},
		{"trapezoid", Optimisation{Schedule: Trapezoid}, map[int64]float64{
			0: 0.1, 4: 0.5, 9: 1, 10: 1, 50: 1, 79: 1, 80: 1, 81: 0.95, 90: 0.5, 99: 0.05}, 80},
		{"trapezoid to a tenth over 40", Optimisation{Schedule: Trapezoid, CooldownSteps: pointer(40), FinalLRRatio: pointer(0.1)}, map[int64]float64{
			10: 1, 60: 1, 80: 0.55, 99: 1 - 0.9*39/40}, 60},
		{"trapezoid without a cool-down", Optimisation{Schedule: Trapezoid, CooldownSteps: pointer(0)}, map[int64]float64{10: 1, 99: 1}, 100},
		{"cosine", Optimisation{Schedule: Cosine}, map[int64]float64{
			0: 0.1, 9: 1, 10: 1, 40: 0.1 + 0.9*0.75, 55: 0.55, 70: 0.1 + 0.9*0.25, 99: 0.1 + 0.45*(1+math.Cos(math.Pi*89/90))}, 50},
		{"cosine to 0", Optimisation{Schedule: Cosine, FinalLRRatio: pointer(0.)}, map[int64]float64{55: 0.5, 70: 0.25}, 50},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := row.t
			c.Steps, c.WarmupSteps, c.LearningRate, c.WeightDecay, c.WeightDecayLater = 100, 10, 1, 0.1, 0.02
			for step, want := range row.want {
				require.InDelta(t, want, c.learningRate(step), 1e-12, "step %d", step)
			}
			for step := int64(0); step < 100; step++ {
				want := 0.1
				if step >= row.late {
					want = 0.02
				}
				require.Equal(t, want, c.weightDecay(step), "weight decay of step %d", step)
				require.Equal(t, step == row.late || step == row.late+1, c.stageBoundary(step), "checkpoint kept after step %d", step)
				if step >= 10 {
					require.LessOrEqual(t, c.learningRate(step), c.learningRate(step-1), "step %d", step)
				}
			}
		})
	}
}

// The default cool-down leaves the warm-up whole, and short runs have finite rates.
func TestShortSchedules(t *testing.T) {
	for _, s := range schedules {
		for steps := 1; steps < 12; steps++ {
			for warmup := 0; warmup <= steps+1; warmup++ {
				c := Optimisation{Steps: steps, WarmupSteps: warmup, LearningRate: 1, Schedule: s.name}
				for step := range int64(steps) {
					rate := c.learningRate(step)
					require.True(t, rate > 0 && rate <= 1, "%s: step %d of %d, warm-up %d: %g", s.name, step, steps, warmup, rate)
				}
			}
		}
	}
}

func TestScheduleMistakes(t *testing.T) {
	for _, row := range []struct {
		set  []string
		want string
	}{
		{[]string{"schedule=linear"}, "one of two-stage, trapezoid, cosine"},
		{[]string{"cooldown_steps=5"}, "has no cool-down"},
		{[]string{"schedule=trapezoid", "cooldown_steps=-1"}, "must not be negative"},
		{[]string{"schedule=trapezoid", "cooldown_steps=91"}, "more than the 100 steps"},
		{[]string{"schedule=cosine", "final_lr_ratio=1.5"}, "between 0 and 1"},
		{[]string{"final_lr_ratio=.nan"}, "between 0 and 1"},
		{[]string{"schedule=trapezoid", "cooldown_steps=90", "final_lr_ratio=0"}, ""},
		{[]string{"schedule=trapezoid", "cooldown_steps=90", "cooldown_steps=null", "schedule=two-stage"}, ""},
	} {
		c, err := Preset("simple")
		require.NoError(t, err)
		for _, s := range row.set {
			require.NoError(t, c.Set(s))
		}
		if err := c.Check(); row.want == "" {
			require.NoError(t, err, row.set)
		} else {
			require.ErrorContains(t, err, row.want, row.set)
		}
	}
}

func TestScheduleLines(t *testing.T) {
	c, err := Preset("baseline")
	require.NoError(t, err)
	for _, row := range []struct{ steps, lines int }{{400000, 1000}, {1, 1000}, {2, 1}, {100, 1000}} {
		c.Train.Steps = row.steps
		got := c.Schedule(row.lines)
		require.LessOrEqual(t, len(got), 2*row.lines+1)
		require.EqualValues(t, 1, got[0].Step)
		require.EqualValues(t, row.steps, got[len(got)-1].Step)
		for i, m := range got {
			require.Equal(t, c.Train.learningRate(m.Step-1), m.Get(runs.LR))
			require.Equal(t, c.Train.weightDecay(m.Step-1), m.Get(runs.WeightDecay))
			require.True(t, i == 0 || got[i-1].Step < m.Step)
		}
	}
}

// stopAt trains a run up to a step, and stops it as Ctrl-C does.
func stopAt(t *testing.T, c *Config, at int64) *runs.Run {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	tr := begin(t, c, modeltest.Device(t), Start{RunsDir: t.TempDir(), RunID: "stopped"}, Events{Step: func(step int64) {
		if step == at {
			cancel()
		}
	}})
	require.ErrorIs(t, tr.Train(ctx), context.Canceled)
	tr.Close()
	return tr.Run
}

// Each schedule resumes bit for bit: before the stages change, at the change and after it.
func TestSchedulesResumeBitExact(t *testing.T) {
	dev := modeltest.Device(t)
	for _, s := range schedules {
		c := tiny(t)
		for _, set := range []string{"steps=10", "warmup_steps=2", "checkpoint_interval=0", "weight_decay_late=0.05", "schedule=" + string(s.name)} {
			require.NoError(t, c.Set(set))
		}
		whole := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "whole"}, Events{})
		require.NoError(t, whole.Train(context.Background()))
		for _, at := range []int64{1, 4, 8, 9} {
			run := stopAt(t, c, at)
			stored, err := LoadConfig(filepath.Join(run.CheckpointDir(at), configName))
			require.NoError(t, err)
			rest := begin(t, stored, dev, Start{Resume: run.Dir}, Events{})
			require.NoError(t, rest.Train(context.Background()))
			require.Equal(t, finalSum(t, whole.Run.Dir, 10), finalSum(t, run.Dir, 10), "%s, resumed after %d", s.name, at)
			for step, m := range metricsOf(t, run.Dir) {
				require.Equal(t, c.Train.learningRate(step-1), m.Get(runs.LR), "%s, step %d", s.name, step)
			}
		}
	}
}

// A long run is cooled down from any point: resumed with fewer steps, it is bit for
// bit the run that was planned so short.
func TestTrapezoidIsCooledDownAnywhere(t *testing.T) {
	dev := modeltest.Device(t)
	config := func(steps int) *Config {
		c := tiny(t)
		for _, set := range []string{fmt.Sprintf("steps=%d", steps), "warmup_steps=2", "checkpoint_interval=0", "schedule=trapezoid", "cooldown_steps=4"} {
			require.NoError(t, c.Set(set))
		}
		return c
	}
	run := stopAt(t, config(1000), 6)
	cooled := begin(t, config(10), dev, Start{Resume: run.Dir}, Events{})
	require.NoError(t, cooled.Train(context.Background()))
	short := begin(t, config(10), dev, Start{RunsDir: t.TempDir(), RunID: "short"}, Events{})
	require.NoError(t, short.Train(context.Background()))
	require.Equal(t, finalSum(t, short.Run.Dir, 10), finalSum(t, run.Dir, 10))
	_, err := os.Stat(short.Run.CheckpointDir(6))
	require.NoError(t, err, "the checkpoint before the cool-down is kept")
}
