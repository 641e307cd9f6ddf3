// Package modeltest gives tests a device and models on it.
package modeltest

import (
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/model"
	"bitnet/bitnet/modelfile"
	"bitnet/gpu"
	"bitnet/graph"
	"bitnet/shaders"
)

// Device opens the default adapter. Without one the test is skipped, except in
// CI, where it fails.
func Device(t testing.TB) *gpu.Device {
	t.Helper()
	dev, err := gpu.Open("")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	t.Cleanup(dev.Close)
	return dev
}

// Tiny is a small architecture.
func Tiny(vocab, positions int) modelfile.Config {
	return modelfile.Config{
		VocabSize: vocab, HiddenSize: 32, IntermediateSize: 48, Layers: 1, Heads: 2, KVHeads: 1,
		HiddenAct: "silu", MaxPositions: positions, NormEps: 1e-5, RopeTheta: 10000,
	}
}

// Random makes a model with kernels for a target, whose weights are far from
// their small beginning.
func Random(t testing.TB, dev *gpu.Device, c modelfile.Config, target shaders.Target) *model.Model {
	t.Helper()
	m, err := model.New(c, dev.Adapter(), graph.ForEvaluation, "")
	require.NoError(t, err)
	m.Params.Target = target
	require.NoError(t, m.Allocate(dev))
	t.Cleanup(m.Release)
	require.NoError(t, m.Initialize(3))
	rng := rand.New(rand.NewPCG(1, 2))
	for _, p := range m.Params.All() {
		if p.IsVector() {
			values := make([]float32, p.Rows*p.Cols)
			for i := range values {
				values[i] = float32(0.5 + rng.Float64())
			}
			require.NoError(t, p.Write(graph.Master, values))
		}
	}
	require.NoError(t, m.Params.Quantize(dev))
	return m
}
