package train

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/eval"
	"bitnet/bitnet/infer"
	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/runs"
	"bitnet/data/tokenizer"
	"bitnet/gpu"
)

// baseModel trains a tiny model of so many rows of the embedding on text, and gives
// its newest checkpoint.
func baseModel(t *testing.T, vocab int) string {
	dir := t.TempDir()
	for i := range 4 {
		text := strings.Repeat(fmt.Sprintf("Document %d tells what number %d is. ", i, i*i), 60)
		require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprint(i, ".txt")), []byte(text), 0o644))
	}
	c, err := Preset("text")
	require.NoError(t, err)
	for _, s := range []string{"data.source=text:" + dir, "data.dir=" + t.TempDir(), fmt.Sprint("vocab_size=", vocab), "hidden_size=32", "intermediate_size=48",
		"num_hidden_layers=1", "num_attention_heads=2", "num_key_value_heads=1", "max_position_embeddings=96", "steps=2", "batch_size=2", "seq_len=32",
		"warmup_steps=1", "eval_interval=0", "sample_interval=0", "checkpoint_interval=0", "eval_samples=2", "prompts=[]"} {
		require.NoError(t, c.Set(s), s)
	}
	run := begin(t, c, modeltest.Device(t), Start{RunsDir: t.TempDir(), RunID: "base"}, Events{})
	require.NoError(t, run.Train(context.Background()))
	run.Close()
	return run.Run.Checkpoints()[0]
}

// chatConfig trains base on small conversations.
func chatConfig(t *testing.T, base string, settings ...string) *Config {
	path := filepath.Join(t.TempDir(), "talks.jsonl")
	var lines []string
	for i := range 40 {
		lines = append(lines, fmt.Sprintf(`{"instruction": "What is number %d?", "output": "It is %d."}`, i, i*i))
	}
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o644))
	c, err := Preset("chat")
	require.NoError(t, err)
	c.Model, err = modelfile.ReadTrainable(base)
	require.NoError(t, err)
	for _, s := range append([]string{"data.source=chat:" + path, "held_out=0.1", "epochs=2", "batch_size=2", "seq_len=96", "learning_rate=2e-3", "warmup_steps=2",
		"log_interval=1", "eval_interval=4", "sample_interval=0", "checkpoint_interval=0", "eval_samples=4", "keep_checkpoints=1"}, settings...) {
		require.NoError(t, c.Set(s), s)
	}
	return c
}

// From a base model to one that has turns: epochs become steps, the vocabulary
// grows, the run resumes to the bit, and it keeps what it learned with the form.
func TestChatRun(t *testing.T) {
	dev := modeltest.Device(t)
	base := baseModel(t, 264)
	var notes []string
	c := chatConfig(t, base)
	start := func(id string) Start { return Start{RunsDir: t.TempDir(), RunID: id, Init: base} }
	whole := begin(t, c, dev, start("whole"), Events{Note: func(s string) { notes = append(notes, s) }})
	steps := whole.Config.Train.Steps
	require.Contains(t, strings.Join(notes, "\n"), fmt.Sprintf("2 epochs are %d steps of 2 rows", steps))
	require.Greater(t, steps, 12)
	require.Less(t, steps, 40)
	require.Equal(t, 320, whole.Config.Model.VocabSize)
	require.NoError(t, whole.Train(context.Background()))
	whole.Close()
	best, err := whole.Run.Best()
	require.NoError(t, err)
	require.NotNil(t, best.Kept, "the preset keeps the best checkpoint")

	ctx, cancel := context.WithCancel(context.Background())
	half := begin(t, c, dev, start("half"), Events{Metrics: func(m runs.Metrics) {
		if m.Step == 7 {
			cancel()
		}
	}})
	require.ErrorIs(t, half.Train(ctx), context.Canceled)
	half.Close()
	saved, err := LoadConfig(filepath.Join(half.Run.Checkpoints()[0], configName))
	require.NoError(t, err)
	rest := begin(t, saved, dev, Start{Resume: half.Run.Dir}, Events{})
	require.Equal(t, steps, rest.Config.Train.Steps)
	require.NoError(t, rest.Train(context.Background()))
	rest.Close()
	a, b := metricsOf(t, whole.Run.Dir), metricsOf(t, rest.Run.Dir)
	for s, m := range a {
		require.Equal(t, m.Get(runs.Loss), b[s].Get(runs.Loss), "loss of step %d", s)
	}
	require.Equal(t, finalSum(t, whole.Run.Dir, int64(steps)), finalSum(t, rest.Run.Dir, int64(steps)))

	// The checkpoint's own form is that of chat and the server.
	tok, err := tokenizer.Load(whole.Run.Checkpoints()[0])
	require.NoError(t, err)
	f, err := infer.FindChatFormat("", tok)
	require.NoError(t, err)
	require.Equal(t, infer.ChatML, f.Name)
	eos, _ := tok.EOS()
	hf, err := modelfile.ReadHFConfig(whole.Run.Checkpoints()[0])
	require.NoError(t, err)
	require.Equal(t, eos, *hf.EOS)
	require.Equal(t, infer.ChatMLEnd, tok.Decode([]uint32{eos}))
	e, err := Evaluate(t.Context(), dev, whole.Run.Dir, EvalOptions{Options: eval.Options{Rows: 4}})
	require.NoError(t, err)
	names := map[string]bool{}
	for _, s := range e.Scores {
		names[s.Name] = true
	}
	require.True(t, names["answers in form"] && names["exact match"] && names[runs.BitsPerByte], "%v", e.Scores)
}

// New tokens begin as the mean of those that the model knows; everything else is
// the model's own.
func TestChatTokensBeginAsTheMean(t *testing.T) {
	dev := modeltest.Device(t)
	for _, c := range []struct{ vocab, grown int }{{264, 320}, {340, 340}} {
		t.Run(fmt.Sprint(c.vocab), func(t *testing.T) { growsTo(t, dev, c.vocab, c.grown) })
	}
}

func growsTo(t *testing.T, dev *gpu.Device, vocab, grown int) {
	base := baseModel(t, vocab)
	was, err := modelfile.ReadWeights(base)
	require.NoError(t, err)
	old, err := tokenizer.Load(base)
	require.NoError(t, err)
	run := begin(t, chatConfig(t, base), dev, Start{RunsDir: t.TempDir(), RunID: "grown", Init: base}, Events{})
	defer run.Close()
	dir := filepath.Join(t.TempDir(), "model")
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, run.writeFiles(dir))
	is, err := modelfile.ReadWeights(dir)
	require.NoError(t, err)
	for name, w := range was.Ternary {
		require.Equal(t, w, is.Ternary[name], name)
	}
	cols := was.Config.HiddenSize
	before, after := was.Float[modelfile.EmbeddingName], is.Float[modelfile.EmbeddingName]
	require.Len(t, after, grown*cols)
	known := old.Size() * cols
	require.Equal(t, before[:known], after[:known])
	mean := make([]float64, cols)
	for i, v := range before[:known] {
		mean[i%cols] += float64(v) / float64(old.Size())
	}
	for _, id := range []string{infer.ChatMLStart, infer.ChatMLEnd} {
		n, ok := run.task.Tokenizer().ID(id)
		require.True(t, ok)
		for i, v := range after[int(n)*cols:][:cols] {
			require.InDelta(t, mean[i], float64(v), 1e-6)
		}
	}
}

func TestChatRunsAreRefused(t *testing.T) {
	base := baseModel(t, 264)
	for setting, want := range map[string]string{
		"epochs=-1":                                        "train.epochs -1 must lie between",
		"data.source=arithmetic":                           "a different tokenizer",
		"data.source=chat:nowhere.jsonl":                   "neither a preset",
		"data.source=text:" + base:                         "train.epochs is 2, but it is not known beforehand",
		"data.tokenizer=../../testdata/chat/golden/chatml": "leave it out",
		"train.seq_len=97":                                 "longer than model.max_position_embeddings",
	} {
		c := chatConfig(t, base)
		require.NoError(t, c.Set(setting))
		c.Data.Dir = t.TempDir()
		_, err := Prepare(t.Context(), c, Start{RunsDir: t.TempDir(), Init: base}, Events{})
		require.ErrorContains(t, err, want, setting)
	}
	c := chatConfig(t, base, "steps=5")
	require.Zero(t, c.Train.Epochs, "steps that are set count")
	_, err := Prepare(t.Context(), chatConfig(t, base), Start{RunsDir: t.TempDir()}, Events{})
	require.ErrorContains(t, err, "--init MODEL")
}
