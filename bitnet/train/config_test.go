package train

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/modelfile/modelfiletest"
)

func TestPresets(t *testing.T) {
	require.Contains(t, Presets(), "simple")
	require.Contains(t, Presets(), "arithmetic")
	for _, name := range Presets() {
		c, err := Preset(name)
		require.NoError(t, err)
		require.NoError(t, c.Check(), name)
		again, err := ParseConfig("again", c.YAML())
		require.NoError(t, err)
		require.Equal(t, c, again, "config.yaml must hold all of %s", name)
	}
	_, err := Preset("nonsense")
	require.ErrorContains(t, err, "choose one of arithmetic")
}

// A model to start from that has other shapes than the configuration is refused
// by the first value that differs.
func TestPrepareNamesDifference(t *testing.T) {
	c, err := Preset("simple")
	require.NoError(t, err)
	dir := modelfiletest.Dir(t, false, func(h *modelfile.HFConfig, _ modelfiletest.Model) {
		h.Config = c.Model
		h.RopeTheta = 500
	})
	_, err = Prepare(t.Context(), c, Start{RunsDir: t.TempDir(), Init: dir}, Events{})
	require.EqualError(t, err, dir+" holds a different model than the configuration describes: rope_theta is 500, not 10000")
}

func TestSet(t *testing.T) {
	c, err := Preset("simple")
	require.NoError(t, err)
	for _, s := range []string{"train.learning_rate=0.5", "steps=7", "hidden_act=relu2", "output.prompts=[a, b]", "data.source=tokens:x.u16", "pack=false",
		"weight_decay_late=0.125", "weight_decay=0", "train.weight_decay=0.25"} {
		require.NoError(t, c.Set(s), s)
	}
	require.Equal(t, 0.5, c.Train.LearningRate)
	require.Equal(t, 7, c.Train.Steps)
	require.Equal(t, "relu2", c.Model.HiddenAct)
	require.Equal(t, Prompts{"a", "b"}, c.Output.Prompts)
	require.Equal(t, "tokens:x.u16", c.Data.Source)
	require.False(t, c.Data.Pack)
	require.Equal(t, 0.125, c.Train.WeightDecayLater, "a fraction where a whole number was written")
	require.Equal(t, 0.25, c.Train.WeightDecay)
	for s, want := range map[string]string{
		"steps":           "want key=value",
		"stepz=1":         "there is no key",
		"steps=many":      "many is not a whole number",
		"steps=1.5":       "want a whole number",
		"train.steps=[1]": "want a whole number",
	} {
		before := *c
		require.ErrorContains(t, c.Set(s), want, s)
		require.Equal(t, before, *c, "a refused value changes nothing")
	}
}

func TestCheck(t *testing.T) {
	for s, want := range map[string]string{
		"steps=0":                   "at least 1",
		"seq_len=65":                "longer than model.max_position_embeddings",
		"num_attention_heads=5":     "not a multiple",
		"num_key_value_heads=3":     "not a multiple",
		"hidden_act=gelu":           "silu or relu2",
		"learning_rate=.nan":        "learning_rate",
		"learning_rate=0":           "learning_rate",
		"beta1=1":                   "beta1",
		"max_grad_norm=-1":          "max_grad_norm",
		"log_interval=-1":           "negative",
		"hidden_size=8":             "multiple of 4",
		"vocab_size=99999999":       "between 1 and",
		"intermediate_size=9999999": "between 1 and",
		"grad_accum=2000000000":     "tokens per step",
		"batch_size=1000000000":     "tokens per step",
	} {
		c, err := Preset("simple")
		require.NoError(t, err)
		require.NoError(t, c.Set(s))
		require.ErrorContains(t, c.Check(), want, s)
	}
}

// goldenStep is a line of the losses that testdata/reference.py trained with PyTorch.
type goldenStep struct {
	Step         int64
	Loss, LR, WD float64
	GradNorm     float64 `json:"grad_norm"`
}

func goldenSteps(t *testing.T, name string, n int) []goldenStep {
	f, err := os.Open(filepath.Join("..", "..", "testdata", "golden", "train", name))
	require.NoError(t, err)
	defer f.Close()
	var out []goldenStep
	for s := bufio.NewScanner(f); s.Scan(); {
		var g goldenStep
		require.NoError(t, json.Unmarshal(s.Bytes(), &g))
		out = append(out, g)
	}
	require.Len(t, out, n)
	return out
}

func TestSchedulesAgainstPyTorch(t *testing.T) {
	for name, peak := range map[string]float64{"losses.jsonl": 1e-4, "losses_fast.jsonl": 1.5e-3} {
		c := Optimisation{Steps: 200, WarmupSteps: 20, LearningRate: peak, WeightDecay: 0.1}
		for _, g := range goldenSteps(t, name, 200) {
			require.InEpsilon(t, g.LR, c.learningRate(g.Step), 1e-12)
			require.Equal(t, g.WD, c.weightDecay(g.Step))
		}
	}
}

func TestStageBoundary(t *testing.T) {
	for _, steps := range []int{1, 2, 7, 100} {
		c := Optimisation{Steps: steps, WeightDecay: 1}
		for done := int64(1); done < int64(steps); done++ {
			lastOfFirst := c.weightDecay(done-1) == 1 && c.weightDecay(done) == 0
			firstOfSecond := done > 1 && c.weightDecay(done-2) == 1 && c.weightDecay(done-1) == 0
			require.Equal(t, lastOfFirst || firstOfSecond, c.stageBoundary(done), "%d of %d", done, steps)
		}
	}
}

// A run that is shorter than its preset does not warm up over half of it.
func TestLimitWarmup(t *testing.T) {
	for _, row := range []struct{ steps, warmup, want int }{
		{1000, 50, 50}, {1000, 100, 100}, {1000, 101, 100}, {100, 100, 10}, {99, 100, 9}, {20, 100, 2}, {12, 3, 1}, {1, 100, 1}, {5, 0, 0},
	} {
		c := Config{Train: Optimisation{Steps: row.steps, WarmupSteps: row.warmup, LearningRate: 1}}
		c.LimitWarmup()
		require.Equal(t, row.want, c.Train.WarmupSteps, row)
		if row.want > 0 {
			require.EqualValues(t, 1, c.Train.learningRate(int64(row.want)-1), "the peak at the end of the warm-up")
		}
	}
	for _, name := range Presets() {
		c, err := Preset(name)
		require.NoError(t, err)
		whole := c.Train.WarmupSteps
		c.LimitWarmup()
		require.Equal(t, whole, c.Train.WarmupSteps, "%s is as it was made", name)
	}
}
