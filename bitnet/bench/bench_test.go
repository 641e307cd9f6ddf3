package bench

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/train"
	"bitnet/graph/tune"
)

func TestCompare(t *testing.T) {
	file := filepath.Join(t.TempDir(), "before.json")
	before := &Peak{Rates: []tune.Rate{{Name: "a", Unit: "GB/s", Median: 10}, {Name: "b", Unit: "us", Median: 8}, {Name: "gone", Unit: "us", Median: 1}}}
	text, err := JSON(before)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, text, 0o600))
	earlier, err := ReadEarlier(file, "peak")
	require.NoError(t, err)

	now := &Peak{Rates: []tune.Rate{{Name: "a", Unit: "GB/s", Median: 20}, {Name: "b", Unit: "us", Median: 4}, {Name: "none", Unit: "us"}}}
	ratios, err := earlier.Compare(now)
	require.NoError(t, err)
	require.Equal(t, []Ratio{
		{Figure{"a", "GB/s", 20, false}, 10, 2},
		{Figure{"b", "us", 4, true}, 8, 2}, // less time is better
	}, ratios)

	_, err = earlier.Compare(&Peak{})
	require.ErrorContains(t, err, "no figure in common")
	_, err = ReadEarlier(file, "step")
	require.ErrorContains(t, err, "a result of bench peak, not of bench step")
	require.NoError(t, os.WriteFile(file, []byte("{}"), 0o600))
	_, err = ReadEarlier(file, "step")
	require.ErrorContains(t, err, "(nothing)")
	require.NoError(t, os.WriteFile(file, []byte("tokens/s"), 0o600))
	_, err = ReadEarlier(file, "step")
	require.ErrorContains(t, err, "not the --json output")
}

func TestMeasureGenerate(t *testing.T) {
	dev := modeltest.Device(t)
	c, err := train.Preset("tictactoe")
	require.NoError(t, err)
	m, err := NewRandomModel(c.Model, dev)
	require.NoError(t, err)
	defer m.Release()
	o := GenerateOptions{Batches: []int{1}, PromptTokens: 5, Tokens: 2, Context: 7, Repeat: 1}
	h, ffn := int64(c.Model.HiddenSize), int64(c.Model.IntermediateSize)
	qkv := 2 * h // two query heads share keys and values
	codes := int64(c.Model.Layers) * (qkv*h + h*h + 3*ffn*h) / 4
	for _, batch := range []int{1, 3} {
		r, err := measureGenerate(context.Background(), m, batch, o)
		require.NoError(t, err)
		require.Positive(t, r.PromptPerSec)
		require.Positive(t, r.TokensPerSec)
		require.Greater(t, r.TernaryBytes, codes)
		require.Less(t, r.TernaryBytes, codes*5/4) // the scales
		require.Equal(t, int64(batch*c.Model.Layers)*2*4*(h/2)*6, r.CacheBytes)
		require.Positive(t, r.GBPerSec)
	}
	o.Context = 4
	_, err = MeasureGenerate(context.Background(), "random", m, dev, o)
	require.ErrorContains(t, err, "too short for prompts of 5 tokens and 2")
}
