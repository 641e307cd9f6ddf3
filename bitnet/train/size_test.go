package train

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestResize(t *testing.T) {
	preset, err := Preset("text")
	require.NoError(t, err)
	before := int64(0)
	for _, name := range Sizes() {
		c, err := Preset("text")
		require.NoError(t, err)
		require.NoError(t, c.Resize(name))
		require.NoError(t, c.Check())
		m := c.Model
		size := int64(m.HiddenSize) * int64(m.HiddenSize) * int64(m.Layers)
		require.Greater(t, size, before, name)
		before = size
		if name == "base" {
			require.Equal(t, preset, c, "base is the preset")
		}
	}
	require.ErrorContains(t, preset.Resize("smal"), `there is no size "smal" (did you mean small?): choose one of tiny, small, base`)
}

func TestFitSteps(t *testing.T) {
	c, err := Preset("text")
	require.NoError(t, err)
	require.NoError(t, c.Resize("tiny")) // steps of 2,048 tokens
	require.InDelta(t, 3600, c.FitSteps(4000, 1<<20, time.Hour).Seconds(), 1)
	require.Equal(t, 7031, c.Train.Steps)

	took := c.FitSteps(1e6, 1<<20, time.Hour) // enough before the hour is over
	require.Equal(t, 102400, c.Train.Steps)
	require.Equal(t, 210*time.Second, took.Round(time.Second))

	c.FitSteps(10, 1<<20, time.Hour)
	require.Equal(t, 17, c.Train.Steps)
	c.FitSteps(0.1, 1<<20, time.Hour)
	require.Equal(t, 1, c.Train.Steps)
}
