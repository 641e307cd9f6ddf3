package bitnet

import (
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
