package train

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/runs"
)

// floatModel is the float model of testdata, with a changed configuration if change is not
// nil. It has no tokenizer: tokens are numbers to it.
func floatModel(t *testing.T, change func(map[string]any)) string {
	golden := filepath.Join("..", "..", "testdata", "golden", "float")
	if change == nil {
		return golden
	}
	dir := t.TempDir()
	text, err := os.ReadFile(filepath.Join(golden, "config.json"))
	require.NoError(t, err)
	var c map[string]any
	require.NoError(t, json.Unmarshal(text, &c))
	change(c)
	text, err = json.Marshal(c)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), text, 0o644))
	weights, err := os.ReadFile(filepath.Join(golden, modelfile.WeightsName))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, modelfile.WeightsName), weights, 0o644))
	return dir
}

// taught is a run that continues a float model as a ternary one.
func taught(t *testing.T, init string, settings ...string) *Config {
	c := tiny(t)
	var err error
	c.Model, err = modelfile.ReadTrainable(init)
	require.NoError(t, err)
	ids := filepath.Join(t.TempDir(), "ids.u16")
	var raw []byte
	for i := range 3000 {
		raw = append(raw, byte(i*i%37), 0)
	}
	require.NoError(t, os.WriteFile(ids, raw, 0o644))
	for _, s := range append([]string{"data.source=tokens:" + ids, "steps=8", "seq_len=16", "checkpoint_interval=0", "warmup_steps=1"}, settings...) {
		require.NoError(t, c.Set(s), s)
	}
	return c
}

func trainedRun(t *testing.T, c *Config, start Start) *Trainer {
	if start.RunsDir == "" {
		start.RunsDir, start.RunID = t.TempDir(), "run"
	}
	run := begin(t, c, modeltest.Device(t), start, Events{})
	require.NoError(t, run.Train(context.Background()))
	run.Close()
	return run
}

// A model learns its teacher's logits, and logs how far it is from them apart from the
// loss. Whatever the teacher is, the loss of the first step is that without one.
func TestTeacher(t *testing.T) {
	float := floatModel(t, nil)
	alone := trainedRun(t, taught(t, float), Start{Init: float})
	plain := metricsOf(t, alone.Run.Dir)
	require.False(t, plain[1].Has(runs.Divergence))

	run := trainedRun(t, taught(t, float, "teacher="+float, "teacher_weight=1", "learning_rate=1e-2", "steps=40"), Start{Init: float})
	got := metricsOf(t, run.Run.Dir)
	require.Equal(t, plain[1].Get(runs.Loss), got[1].Get(runs.Loss))
	first, last := got[1].Get(runs.Divergence), got[40].Get(runs.Divergence)
	t.Logf("divergence from %.4f to %.4f", first, last)
	require.Greater(t, first, 0.2)
	require.Less(t, last, 0.7*first)

	// A model that is its own teacher has nothing to learn from it.
	own := trainedRun(t, taught(t, alone.Run.Checkpoints()[0], "teacher="+alone.Run.Dir, "teacher_weight=1", "steps=1"), Start{Init: alone.Run.Checkpoints()[0]})
	got = metricsOf(t, own.Run.Dir)
	require.InDelta(t, 0, got[1].Get(runs.Divergence), 1e-5)
	require.Less(t, got[1].Get(runs.GradNorm), 1e-4)
	require.Greater(t, got[1].Get(runs.Loss), 1.0)
}

// A run with a teacher resumes to the bit, with the divergences in its log, in little
// memory too, and refuses another teacher.
func TestTeacherResumes(t *testing.T) {
	dev := modeltest.Device(t)
	float := floatModel(t, nil)
	settings := []string{"teacher=" + float, "teacher_weight=0.3", "teacher_temperature=2", "log_interval=4", "steps=12"}
	whole := trainedRun(t, taught(t, float, settings...), Start{Init: float})
	low := trainedRun(t, taught(t, float, append(settings, "memory=low")...), Start{Init: float})

	rest := trainedRun(t, taught(t, float, append(settings, "checkpoint_interval=6")...), Start{Init: float})
	halfway := rest.Run.CheckpointDir(6)
	saved, err := LoadConfig(filepath.Join(halfway, configName))
	require.NoError(t, err)
	require.True(t, filepath.IsAbs(saved.Train.Teacher), saved.Train.Teacher)
	rest = trainedRun(t, saved, Start{RunsDir: filepath.Dir(rest.Run.Dir), Resume: halfway})
	sums := func(run *Trainer) runs.State {
		s, err := runs.ReadState(run.Run.Checkpoints()[0])
		require.NoError(t, err)
		delete(s.Files, configName)
		return s
	}
	want := sums(whole)
	require.Len(t, want.Recent.Divergence, 12)
	require.NotEmpty(t, want.Teacher)
	require.Equal(t, want.Files, sums(rest).Files)
	require.Equal(t, want.Recent, sums(rest).Recent)
	require.Equal(t, want.Files, sums(low).Files)
	require.Equal(t, metricsOf(t, whole.Run.Dir)[8].Get(runs.Divergence), metricsOf(t, rest.Run.Dir)[8].Get(runs.Divergence),
		"a line over steps of both processes")

	other := taught(t, float, "steps=14")
	other.Data = whole.Config.Data
	require.NoError(t, other.Set("teacher="+floatModel(t, func(c map[string]any) { c["rms_norm_eps"] = 1e-4 })))
	job, err := Prepare(t.Context(), other, Start{Resume: rest.Run.Dir}, Events{})
	require.NoError(t, err)
	_, err = job.Begin(t.Context(), dev)
	require.ErrorContains(t, err, "is not the teacher that the run had before")
}

func TestTeachersThatAreRefused(t *testing.T) {
	float := floatModel(t, nil)
	prepare := func(c *Config, s Start) error {
		s.RunsDir = t.TempDir()
		j, err := Prepare(t.Context(), c, s, Events{})
		if err == nil {
			j.Close()
		}
		return err
	}
	arithmetic := tiny(t)
	require.NoError(t, arithmetic.Set("teacher="+float))
	require.ErrorContains(t, prepare(arithmetic, Start{}), "has a vocabulary of 37, the model one of")
	require.ErrorContains(t, prepare(taught(t, float, "teacher="+floatModel(t, func(c map[string]any) { c["max_position_embeddings"] = 8 })), Start{}), "give --seq-len 8")
	require.ErrorContains(t, prepare(taught(t, float, "teacher=nowhere/to be found"), Start{}), "train.teacher: there is no run")
	require.ErrorContains(t, prepare(taught(t, float, "teacher="+floatModel(t, func(c map[string]any) { c["mlp_bias"] = true })), Start{}), "mlp_bias")

	base := trainedBase(t)
	adapter := trainedRun(t, adapting(t, base, "steps=1"), Start{Init: base})
	c := adapting(t, base, "steps=2", "teacher="+adapter.Run.Dir)
	require.ErrorContains(t, prepare(c, Start{Init: base}), "is an adapter and not a model")

	// The same size, but other tokens.
	swapped := filepath.Join(t.TempDir(), "swapped")
	require.NoError(t, os.CopyFS(swapped, os.DirFS(base)))
	require.NoError(t, os.Remove(filepath.Join(swapped, "state.json")))
	path := filepath.Join(swapped, "tokenizer.json")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(text), `"+"`)
	require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(string(text), `"+"`, `"~"`)), 0o644))
	c = adapting(t, base, "lora=\"\"", "steps=2", "teacher="+swapped)
	require.ErrorContains(t, prepare(c, Start{Init: base}), "has a different tokenizer")

	for setting, why := range map[string]string{
		"teacher_weight=0.5": "are for train.teacher", "teacher_temperature=2": "are for train.teacher",
		"teacher_weight=0": "must lie above 0", "teacher_weight=1.5": "must lie above 0", "teacher_temperature=0": "between 0.1 and 100",
	} {
		c := tiny(t)
		require.NoError(t, c.Set(setting))
		if !strings.Contains(why, "train.teacher") {
			require.NoError(t, c.Set("teacher="+float))
		}
		require.ErrorContains(t, c.Check(), why, setting)
	}
}

// In packed rows of conversations a teacher sees each of them alone, as the model does: one
// that is its own teacher has nothing to learn.
func TestTeacherOfConversations(t *testing.T) {
	base := baseModel(t, 264)
	small := []string{"epochs=1", "eval_interval=100", "eval_samples=1"}
	talks := trainedRun(t, chatConfig(t, base, small...), Start{Init: base}).Run.Checkpoints()[0]
	c := chatConfig(t, talks, append(small, "teacher="+talks, "teacher_weight=1", "log_interval=1")...)
	run := trainedRun(t, c, Start{Init: talks})
	first := metricsOf(t, run.Run.Dir)[1]
	require.True(t, first.Has(runs.Divergence))
	require.InDelta(t, 0, first.Get(runs.Divergence), 1e-5)
	require.Less(t, first.Get(runs.GradNorm), 1e-4)

	c = chatConfig(t, base, append(small, "teacher="+base)...)
	_, err := Prepare(t.Context(), c, Start{RunsDir: t.TempDir(), Init: base}, Events{})
	require.ErrorContains(t, err, "teacher", "the model gets the tokens of a chat template, which the teacher does not know")
}
