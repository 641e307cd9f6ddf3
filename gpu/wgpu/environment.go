//go:build cgo

package wgpu

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/cpu"
)

// setEnvironment lets lavapipe use vectors of 512 bits if the processor has them.
// Graphics drivers read the environment when they are loaded. Mesa's cache of
// compiled kernels mixes up kernels of different widths, so those of 512 bits get a
// folder of their own. If the user has set either variable, both stay as they are.
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
