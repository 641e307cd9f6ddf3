package train

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/runs"
)

// A run with Muon that is stopped and resumed is the same to the bit as one that
// is not, and its checkpoints hold one moment of projections and two of all else.
func TestMuonResumesToTheBit(t *testing.T) {
	dev := modeltest.Device(t)
	c := tiny(t)
	for _, s := range []string{"optimizer=muon", "steps=12"} {
		require.NoError(t, c.Set(s))
	}
	whole := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "whole"}, Events{})
	require.NoError(t, whole.Train(context.Background()))

	ctx, cancel := context.WithCancel(context.Background())
	half := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "half"}, Events{Step: func(step int64) {
		if step == 7 {
			cancel()
		}
	}})
	require.ErrorIs(t, half.Train(ctx), context.Canceled)
	half.Close()
	again := begin(t, c, dev, Start{Resume: half.Run.Dir}, Events{})
	require.EqualValues(t, 7, again.Step())
	require.NoError(t, again.Train(context.Background()))
	for _, name := range []string{"model.safetensors", "optimizer.safetensors"} {
		want, err := os.ReadFile(filepath.Join(whole.Run.CheckpointDir(12), name))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(again.Run.CheckpointDir(12), name))
		require.NoError(t, err)
		require.True(t, string(want) == string(got), name)
	}
	want, got := metricsOf(t, whole.Run.Dir), metricsOf(t, again.Run.Dir)
	for step := int64(1); step <= 12; step++ {
		require.Equal(t, want[step].Get(runs.Loss), got[step].Get(runs.Loss), "step %d", step)
	}
	header, err := os.ReadFile(filepath.Join(again.Run.CheckpointDir(12), "optimizer.safetensors"))
	require.NoError(t, err)
	require.Contains(t, string(header), `"m.model.layers.0.self_attn.q_proj.weight"`)
	require.NotContains(t, string(header), `"v.model.layers.0.self_attn.q_proj.weight"`)
	require.Contains(t, string(header), `"v.model.embed_tokens.weight"`)
}

// A checkpoint of one optimizer is not resumed with another, and a run without
// the key is one of AdamW.
func TestOptimizerOfACheckpoint(t *testing.T) {
	dev := modeltest.Device(t)
	c := tiny(t)
	require.Equal(t, AdamW, c.Train.Optimizer)
	require.NoError(t, c.Set("steps=4"))
	run := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "old"}, Events{})
	require.NoError(t, run.Train(context.Background()))
	run.Close()
	require.NoError(t, c.Set("steps=6"))
	other := *c
	require.NoError(t, other.Set("optimizer=muon"))
	checkpoint := run.Run.CheckpointDir(4)
	_, err := Prepare(t.Context(), &other, Start{Resume: run.Run.Dir}, Events{})
	require.EqualError(t, err, checkpoint+" holds the state of adamw, not of muon: resume it with --set optimizer=adamw, or start a new run from its weights with --init")

	from := begin(t, &other, dev, Start{RunsDir: t.TempDir(), RunID: "new", Init: checkpoint}, Events{})
	require.NoError(t, from.Train(context.Background()))
	from.Close()
	_, err = Prepare(t.Context(), c, Start{Resume: from.Run.CheckpointDir(4)}, Events{})
	require.ErrorContains(t, err, "holds the state of muon, not of adamw")

	old, err := ParseConfig("old", []byte(strings.Replace(string(c.YAML()), "    optimizer: adamw\n", "", 1)))
	require.NoError(t, err)
	require.Equal(t, c, old)
	require.ErrorContains(t, func() error { x := *c; x.Train.Optimizer = "sgd"; return x.Check() }(), `train.optimizer is "sgd": it must be adamw or muon`)
}
