package model

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/modelfile/safetensors"
	"bitnet/gpu"
	"bitnet/gpu/gputest"
	"bitnet/graph"
)

// The logits of a float model are those of PyTorch in float64 (testdata/llama.py).
func TestFloatAgainstPyTorch(t *testing.T) {
	gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
		dir := filepath.Join("..", "..", "testdata", "golden", "float")
		want, err := safetensors.Open(filepath.Join(dir, "values.safetensors"))
		require.NoError(t, err)
		defer want.Close()
		ids, err := want.Ints("ids")
		require.NoError(t, err)
		logits, err := want.Float64s("logits")
		require.NoError(t, err)
		c, err := modelfile.ReadTrainable(dir)
		require.NoError(t, err)

		m, err := newFloat(c, dev.Adapter(), false)
		require.NoError(t, err)
		require.NoError(t, m.params.Allocate(dev))
		defer m.params.Release()
		require.NoError(t, m.load(dir))
		const batch, seq = 3, 20
		g := graph.New(m.params, batch, seq)
		g.Beside("teacher", m.params, func() { g.Logits(m.forward(g), m.embed, batch*seq, false) })
		plan, err := g.PlanForward()
		require.NoError(t, err)
		program, err := plan.Compile(dev)
		require.NoError(t, err)
		defer program.Release()
		tokens, rows := make([]uint32, len(ids)), make([]uint32, len(ids))
		for i, id := range ids {
			tokens[i], rows[i] = uint32(id), uint32(i)
		}
		require.NoError(t, program.SetTokens(tokens))
		require.NoError(t, program.SetRows(rows))
		require.NoError(t, program.MicroBatch())
		got := make([]float32, len(logits))
		require.NoError(t, program.Logits(got))
		for i, v := range got {
			require.InDelta(t, logits[i], v, 2e-5, "logit %d", i)
		}
	})
}
