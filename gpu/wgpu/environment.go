//go:build cgo

package wgpu

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/cpu"
)

// setEnvironment lets lavapipe use vectors of 512 bits where the processor has
// them: graphics drivers read the environment when they are loaded. Mesa's
// cache of compiled kernels does not tell the widths apart, so this one gets a
// folder of its own. Where the user has set either variable, both stay.
func setEnvironment() {
	const width, cache = "LP_NATIVE_VECTOR_WIDTH", "MESA_SHADER_CACHE_DIR"
	if !cpu.X86.HasAVX512F {
		return
	}
	for _, name := range []string{width, cache} {
		if _, set := os.LookupEnv(name); set {
			return
		}
	}
	user, err := os.UserCacheDir()
	if err != nil {
		return
	}
	dir := filepath.Join(user, "bitnet", "mesa-512")
	if os.MkdirAll(dir, 0o755) != nil {
		return
	}
	os.Setenv(width, "512")
	os.Setenv(cache, dir)
}
