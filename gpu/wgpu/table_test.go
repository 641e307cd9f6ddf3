//go:build cgo

package wgpu

import (
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu/driver"
)

// The library that go.mod names has what the table needs.
func TestUniformTable(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the uniform table is for lavapipe on Linux")
	}
	adapters, err := (&backend{}).Adapters()
	require.NoError(t, err)
	seen := false
	for _, a := range adapters {
		software := strings.HasPrefix(a.Name, "llvmpipe")
		seen = seen || software
		require.Equal(t, software, a.Has(driver.UniformTable), a.Name)
	}
	if !seen {
		t.Skip("no lavapipe: run gpu/install-vulkan.sh")
	}
}
