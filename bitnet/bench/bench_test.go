package bench

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/graph"
)

func TestCompareBench(t *testing.T) {
	file := filepath.Join(t.TempDir(), "before.json")
	before := &PeakBench{Rates: []graph.Rate{{Name: "a", Unit: "GB/s", Median: 10}, {Name: "b", Unit: "us", Median: 8}, {Name: "gone", Unit: "us", Median: 1}}}
	text, err := BenchJSON(before)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, text, 0o600))
	earlier, err := ReadBench(file, "peak")
	require.NoError(t, err)

	now := &PeakBench{Rates: []graph.Rate{{Name: "a", Unit: "GB/s", Median: 20}, {Name: "b", Unit: "us", Median: 4}, {Name: "none", Unit: "us"}}}
	ratios, err := earlier.Compare(now)
	require.NoError(t, err)
	require.Equal(t, []Ratio{
		{Figure{"a", "GB/s", 20, false}, 10, 2},
		{Figure{"b", "us", 4, true}, 8, 2}, // less time is better
	}, ratios)

	_, err = earlier.Compare(&PeakBench{})
	require.ErrorContains(t, err, "no figure in common")
	_, err = ReadBench(file, "step")
	require.ErrorContains(t, err, "a result of bench peak, not of bench step")
	require.NoError(t, os.WriteFile(file, []byte("{}"), 0o600))
	_, err = ReadBench(file, "step")
	require.ErrorContains(t, err, "(nothing)")
	require.NoError(t, os.WriteFile(file, []byte("tokens/s"), 0o600))
	_, err = ReadBench(file, "step")
	require.ErrorContains(t, err, "not the --json output")
}

func TestBenchGenerate(t *testing.T) {
	dev := openDevice(t)
	c, err := Preset("tictactoe")
	require.NoError(t, err)
	m, err := NewRandomModel(c.Model, dev)
	require.NoError(t, err)
	defer m.Params.Release()
	o := GenerateOptions{Batches: []int{1}, PromptTokens: 5, Tokens: 2, Context: 7, Repeat: 1}
	h, ffn := int64(c.Model.HiddenSize), int64(c.Model.IntermediateSize)
	qkv := 2 * h // two query heads share keys and values
	codes := int64(c.Model.Layers) * (qkv*h + h*h + 3*ffn*h) / 4
	for _, batch := range []int{1, 3} {
		r, err := m.benchGenerate(context.Background(), dev, batch, o)
		require.NoError(t, err)
		require.Positive(t, r.PromptPerSec)
		require.Positive(t, r.TokensPerSec)
		require.Greater(t, r.TernaryBytes, codes)
		require.Less(t, r.TernaryBytes, codes*5/4) // the scales
		require.Equal(t, int64(batch*c.Model.Layers)*2*4*(h/2)*6, r.CacheBytes)
		require.Positive(t, r.GBPerSec)
	}
	o.Context = 4
	_, err = BenchGenerate(context.Background(), "random", m, dev, o)
	require.ErrorContains(t, err, "too short for 5 and 2")
}
