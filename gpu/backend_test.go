package gpu

import (
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu/driver"
)

func TestUpgrade(t *testing.T) {
	adapter := func(backend, name string, kind Kind, matrices ...MatrixShape) Adapter {
		return Adapter{Adapter: driver.Adapter{Name: name, API: "Vulkan", Kind: kind, Matrices: matrices}, Backend: backend}
	}
	units := MatrixShape{M: 16, N: 16, K: 16, Component: "f16", Result: "f32"}
	found := []Adapter{
		adapter("wgpu", "llvmpipe", CPU),
		adapter("wgpu", "RTX 3060", Discrete),
		adapter("wgpu", "RTX 3060", Discrete),
		adapter("wgpu", "UHD 630", Integrated),
		adapter("wgpu", "Arc", Discrete),
	}
	found[1].VendorID = 0x10de
	others := complete([]Adapter{
		adapter("dawn", "Arc", Integrated, units),
		adapter("dawn", "UHD 630", Integrated),
		adapter("dawn", "RTX 3060", Discrete, units),
		adapter("dawn", "llvmpipe", CPU, units),
		adapter("dawn", "unknown", Discrete, units),
	}, found)
	require.Equal(t, Discrete, others[0].Kind, "wgpu knows better")
	require.EqualValues(t, 0x10de, others[2].VendorID)
	require.Equal(t, Discrete, others[4].Kind)

	var backends []string
	for _, a := range upgrade(found, others) {
		backends = append(backends, a.Backend+" "+a.Name)
	}
	require.Equal(t, []string{"wgpu llvmpipe", "dawn RTX 3060", "wgpu RTX 3060", "wgpu UHD 630", "dawn Arc"}, backends)
}
