package gpu_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/gpu/driver"
)

func TestChoose(t *testing.T) {
	named := func(name string, kind gpu.Kind) gpu.Adapter {
		return gpu.Adapter{Adapter: driver.Adapter{Name: name, Kind: kind}}
	}
	all := []gpu.Adapter{
		named("llvmpipe (LLVM 19.1.7, 256 bits)", gpu.CPU),
		named("Intel(R) UHD Graphics 630", gpu.Integrated),
		named("NVIDIA GeForce RTX 3060", gpu.Discrete),
		named("NVIDIA GeForce RTX 3090", gpu.Discrete),
		named("Virtio GPU", gpu.Other),
	}
	through := func(api string, a gpu.Adapter) gpu.Adapter {
		a.API = api
		return a
	}
	twice := []gpu.Adapter{through("DX12", all[1]), through("DX12", all[2]), through("Vulkan", all[2])}
	for _, tt := range []struct {
		name     string
		adapters []gpu.Adapter
		want     string
		index    int
		err      string
	}{
		{"discrete first", all, "", 2, ""},
		{"then integrated", all[:2], "", 1, ""},
		{"then CPU", []gpu.Adapter{all[4], all[0]}, "", 1, ""},
		{"anything", all[4:], "", 0, ""},
		{"Vulkan before DX12", twice, "", 2, ""},
		{"a better card through DX12", []gpu.Adapter{through("Vulkan", all[0]), twice[1]}, "", 1, ""},
		{"index", all, "3", 3, ""},
		{"index 0", all, "0", 0, ""},
		{"name", all, "3090", 3, ""},
		{"any case", all, "geforce rtx", 2, ""},
		{"kind", all, "cpu", 0, ""},
		{"kind in words", all, "integrated", 1, ""},
		{"no such index", all, "5", 0, `no adapter is called "5": choose one of 0 "llvmpipe`},
		{"negative", all, "-1", 0, `no adapter is called "-1"`},
		{"no such name", all, "radeon", 0, `3 "NVIDIA GeForce RTX 3090"`},
		{"none", nil, "", 0, "gpu/install-vulkan.sh"},
		{"none of a name", nil, "3090", 0, "gpu/install-vulkan.sh"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			index, err := gpu.Choose(tt.adapters, tt.want)
			if tt.err != "" {
				require.ErrorContains(t, err, tt.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tt.index, index)
		})
	}
}

func TestAdapters(t *testing.T) {
	first, err := gpu.Adapters()
	require.NoError(t, err)
	if len(first) == 0 {
		t.Skip("no graphics adapter: run gpu/install-vulkan.sh")
	}
	again, err := gpu.Adapters()
	require.NoError(t, err)
	require.Equal(t, first, again)
	for _, a := range first {
		t.Logf("%+v", a.Adapter)
		require.NotEmpty(t, a.Name)
		require.NotEmpty(t, a.Backend)
		require.NotEmpty(t, a.API)
		require.GreaterOrEqual(t, a.Limits.BindingSize, int64(128<<20))
		require.GreaterOrEqual(t, a.Limits.BufferSize, a.Limits.BindingSize)
		require.LessOrEqual(t, a.Limits.OffsetAlignment, int64(256))
		require.Positive(t, a.Limits.OffsetAlignment)
		require.GreaterOrEqual(t, a.Limits.StorageBindings, 8)
		require.GreaterOrEqual(t, a.Limits.WorkgroupMemory, 16<<10)
		require.GreaterOrEqual(t, a.Limits.WorkgroupInvocations, 256)
		require.GreaterOrEqual(t, a.Limits.WorkgroupsPerDimension, 65535)
	}
}

func TestOpen(t *testing.T) {
	d := open(t)
	require.NotEmpty(t, d.Adapter().Name)
	_, err := gpu.Open("no such adapter")
	require.ErrorContains(t, err, "choose one of")
}
