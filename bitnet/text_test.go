package bitnet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// The whole road on real text: documents, tokenizer, shards, training,
// validation, a stop in the middle and a resume that is bit-exact.
func TestTextRoad(t *testing.T) {
	dev := openDevice(t)
	texts := filepath.Join(runtime.GOROOT(), "src", "strings")
	if _, err := os.Stat(texts); err != nil {
		t.Skip("the Go tree's sources are not here")
	}
	docs := t.TempDir()
	found, err := filepath.Glob(filepath.Join(texts, "*.go"))
	require.NoError(t, err)
	for i, f := range found {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(docs, fmt.Sprintf("%03d.txt", i)), b, 0o644))
	}
	dir := t.TempDir()
	config := func() *Config {
		c, err := Preset("text")
		require.NoError(t, err)
		for _, s := range []string{"data.source=text:" + docs, "data.dir=" + dir, "vocab_size=320", "hidden_size=32", "intermediate_size=48",
			"num_hidden_layers=1", "num_attention_heads=2", "num_key_value_heads=1", "steps=24", "batch_size=4", "seq_len=32", "warmup_steps=2",
			"learning_rate=4e-3", "log_interval=1", "eval_interval=0", "sample_interval=0", "checkpoint_interval=5", "eval_samples=8", "prompts=[\"func \"]"} {
			require.NoError(t, c.Set(s))
		}
		return c
	}
	var evals []EvalResult
	var samples []Sample
	events := Events{Eval: func(r EvalResult) { evals = append(evals, r) }, Samples: func(s []Sample) { samples = s }}
	whole, err := NewTrainer(context.Background(), config(), dev, Start{RunsDir: t.TempDir(), RunID: "whole"}, events)
	require.NoError(t, err)
	require.NoError(t, whole.Run(context.Background()))
	require.Len(t, evals, 1)
	require.Len(t, samples, 1)
	require.NotEmpty(t, samples[0].Text)
	a := metricsOf(t, whole.Dir)
	require.InEpsilon(t, 5.77, a[1].Loss, 0.05, "the first loss is ln(320)")
	require.Less(t, evals[0].Loss, 5.3, "validation loss falls")

	ctx, cancel := context.WithCancel(context.Background())
	half, err := NewTrainer(context.Background(), config(), dev, Start{RunsDir: t.TempDir(), RunID: "half"}, Events{Metrics: func(m Metrics) {
		if m.Step == 11 {
			cancel()
		}
	}})
	require.NoError(t, err)
	require.ErrorIs(t, half.Run(ctx), context.Canceled)
	rest, err := NewTrainer(context.Background(), config(), dev, Start{Resume: half.Dir}, Events{})
	require.NoError(t, err)
	require.NoError(t, rest.Run(context.Background()))
	for s, m := range metricsOf(t, rest.Dir) {
		require.Equal(t, a[s].Loss, m.Loss, "loss of step %d", s)
	}
	require.Equal(t, finalSum(t, whole.Dir, 24), finalSum(t, rest.Dir, 24))

	// A checkpoint carries its tokenizer, and evaluates by itself.
	r, err := Evaluate(context.Background(), dev, rest.Dir, EvalOptions{Rows: 8}, func(s string) { t.Error(s) })
	require.NoError(t, err)
	require.InDelta(t, evals[0].Loss, r.Loss, 1e-6)
	require.FileExists(t, filepath.Join(rest.Dir, "checkpoints", "step_00000024", "tokenizer.json"))

	// The shards can be named by themselves, with their tokenizer.
	c := config()
	require.NoError(t, c.Set("data.source=shards:"+filepath.Join(dir, "shards")))
	_, err = openCorpus(context.Background(), c, nil, false, nil)
	require.ErrorContains(t, err, "--tokenizer")
	require.NoError(t, c.Set("data.tokenizer="+filepath.Join(dir, "tokenizer")))
	_, err = openCorpus(context.Background(), c, nil, false, nil)
	require.NoError(t, err)
}
