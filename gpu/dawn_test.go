package gpu_test

import (
	"os"
	"os/exec"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/gpu/dawn"
)

// TestOnDawn runs the tests of this package again, through Dawn.
func TestOnDawn(t *testing.T) {
	if os.Getenv("BITNET_BACKEND") == "dawn" {
		t.Skip("this is the second time")
	}
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	if err := dawn.Installed(); err != nil {
		t.Skip(err)
	}
	self, err := os.Executable()
	require.NoError(t, err)
	c := exec.Command(self, "-test.v", "-test.skip=^TestOnDawn$")
	c.Env = append(os.Environ(), "BITNET_BACKEND=dawn")
	out, err := c.CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.Contains(t, string(out), "--- PASS: TestSaxpy", "it did run")
	require.NotContains(t, string(out), "no graphics adapter")
}

func TestBackend(t *testing.T) {
	if runtime.GOOS == "js" {
		t.Skip("a browser has no other backend")
	}
	_, err := gpu.AdaptersOf("vulkan")
	require.ErrorContains(t, err, `no backend is called "vulkan": choose one of auto, wgpu, dawn`)
	found, err := gpu.AdaptersOf("wgpu")
	require.NoError(t, err)
	for _, a := range found {
		require.Equal(t, "wgpu", a.Backend)
	}
	t.Setenv("BITNET_DAWN", t.TempDir())
	again, err := gpu.AdaptersOf("auto")
	require.NoError(t, err)
	require.Equal(t, found, again, "without Dawn")
}
