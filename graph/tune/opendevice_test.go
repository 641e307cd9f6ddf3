package tune

import (
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/graph"
)

// Graphs are planned without the features that are taken from an adapter.
func TestWithoutUnits(t *testing.T) {
	adapters, err := gpu.Adapters()
	require.NoError(t, err)
	if len(adapters) == 0 {
		t.Skip("no adapter: run gpu/install-vulkan.sh")
	}
	for _, a := range adapters {
		dev, err := OpenDevice(a, func(s string) { t.Error(s) })
		require.NoError(t, err)
		dev.Close()
		a.Features = append(a.Features, gpu.PackedDot)
		require.True(t, graph.LimitsOf(a).PackedDot)
		plain := a.Without(gpu.SubgroupMatrix, gpu.PackedDot)
		require.True(t, a.Has(gpu.PackedDot), "the other adapter is untouched")
		require.Empty(t, graph.LimitsOf(plain).Units.Shapes)
		require.False(t, graph.LimitsOf(plain).PackedDot)
	}
}
