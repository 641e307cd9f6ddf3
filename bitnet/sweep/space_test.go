package sweep

import (
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func dimensions(t testing.TB, texts ...string) (space []Dimension) {
	t.Helper()
	for _, text := range texts {
		d, err := ParseDimension(text)
		require.NoError(t, err)
		space = append(space, d)
	}
	return space
}

func TestGrid(t *testing.T) {
	points, err := Grid(dimensions(t, "optimizer=adamw,muon", "learning_rate=1e-4..1e-2/3"))
	require.NoError(t, err)
	require.Equal(t, [][]string{
		{"optimizer=adamw", "learning_rate=0.0001"}, {"optimizer=adamw", "learning_rate=0.001"}, {"optimizer=adamw", "learning_rate=0.01"},
		{"optimizer=muon", "learning_rate=0.0001"}, {"optimizer=muon", "learning_rate=0.001"}, {"optimizer=muon", "learning_rate=0.01"},
	}, points)
	require.Equal(t, []string{"4", "5", "6", "7", "8"}, dimensions(t, "batch_size=4..8/5")[0].Values, "whole numbers, equal distances")
	require.Equal(t, []string{"1", "2"}, dimensions(t, "n=1..2/9")[0].Values, "none is there twice")
	_, err = Grid(dimensions(t, "learning_rate=1e-4..1e-2"))
	require.ErrorContains(t, err, "is a range")
	_, err = Grid(dimensions(t, "a=1..1000/999", "b=1..1000/999"))
	require.ErrorContains(t, err, "more than 10000 points")
}

func TestRandom(t *testing.T) {
	space := dimensions(t, "learning_rate=1e-4..1e-2", "batch_size=4..32", "optimizer=adamw,muon")
	points, err := Random(space, 200, 7)
	require.NoError(t, err)
	require.Len(t, points, 200)
	again, err := Random(space, 200, 7)
	require.NoError(t, err)
	require.Equal(t, points, again)
	other, err := Random(space, 200, 8)
	require.NoError(t, err)
	require.NotEqual(t, points, other)
	below, seen := 0, map[string]bool{}
	for _, p := range points {
		require.False(t, seen[strings.Join(p, " ")])
		seen[strings.Join(p, " ")] = true
		rate, err := strconv.ParseFloat(valueOf(p, "learning_rate"), 64)
		require.NoError(t, err)
		require.True(t, rate >= 1e-4 && rate <= 1e-2)
		if rate < 1e-3 {
			below++
		}
		_, err = strconv.Atoi(valueOf(p, "batch_size"))
		require.NoError(t, err)
	}
	require.InDelta(t, 100, below, 30, "half of them lie below the middle of the logarithm")
	few, err := Random(dimensions(t, "optimizer=adamw,muon"), 10, 1)
	require.NoError(t, err)
	require.Len(t, few, 2, "as many as there are")
}

func TestDimensionsThatAreRefused(t *testing.T) {
	for _, text := range []string{"", "x", "x=", "=1", "x=1,,2", "x=1,1", "x=2..1", "x=1..b", "x=1..2/1", "x=1..2/z", "x=NaN..2", "x=-Inf..2", "x=1..99999/99999"} {
		_, err := ParseDimension(text)
		require.Error(t, err, text)
	}
}
