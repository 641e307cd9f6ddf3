package model_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/cost"
	"bitnet/bitnet/train"
	"bitnet/gpu"
)

// translator is the folder where testdata/translate/install.sh puts naga, "" without it.
func translator() string {
	dir := os.Getenv("BITNET_TRANSLATE")
	if dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return ""
		}
		dir = filepath.Join(cache, "bitnet", "translate-0.0.1")
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		return ""
	}
	return dir
}

// Every kernel of the default path can be said in the languages of DX12 and Metal:
// naga translates it, with its workgroup and all of its bindings.
func TestTranslations(t *testing.T) {
	naga := translator()
	if naga == "" {
		t.Skip("naga is not installed: make test-translations installs it")
	}
	dir := os.Getenv("BITNET_TRANSLATIONS") // to look at them
	if dir == "" {
		dir = t.TempDir()
	}
	require.NoError(t, os.MkdirAll(dir, 0o755))
	kernels := map[string]string{} // files by source
	for _, preset := range train.Presets() {
		for _, optimizer := range []string{"adamw", "muon"} {
			for _, a := range []gpu.Adapter{guaranteed(), cost.Card()} {
				for _, s := range presetSources(t, preset, optimizer, a) {
					if kernels[s.Code] != "" {
						continue
					}
					name := fmt.Sprintf("%04d-%s.wgsl", len(kernels), strings.ReplaceAll(s.Family, "/", "-"))
					kernels[s.Code] = name
					require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(s.Code), 0o644))
				}
			}
		}
	}
	out, err := exec.Command("node", filepath.Join("..", "..", "testdata", "translate", "translate.mjs"), naga, dir).Output()
	require.NoError(t, err)
	done := map[string]int{}
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var line struct {
			File, Language, Error string
			Bytes                 int
		}
		require.NoError(t, d.Decode(&line))
		require.Empty(t, line.Error, "%s in %s", line.File, line.Language)
		done[line.Language]++
	}
	require.Equal(t, map[string]int{"hlsl": len(kernels), "metal": len(kernels)}, done)
	hlsl := regexp.MustCompile(`\[numthreads\((\d+), (\d+), (\d+)\)\]`)
	for code, name := range kernels {
		base := filepath.Join(dir, strings.TrimSuffix(name, "wgsl"))
		use, err := usageOf(code)
		require.NoError(t, err)
		text, err := os.ReadFile(base + "hlsl")
		require.NoError(t, err)
		size := hlsl.FindStringSubmatch(string(text))
		require.NotNil(t, size, name)
		var x, y, z int
		fmt.Sscan(strings.Join(size[1:], " "), &x, &y, &z)
		require.Equal(t, use.invocations, x*y*z, name)
		require.Equal(t, use.bindings, strings.Count(string(text), "ByteAddressBuffer "), name)
		text, err = os.ReadFile(base + "metal")
		require.NoError(t, err)
		_, body, ok := strings.Cut(string(text), "void kernel_body(")
		require.True(t, ok, name)
		require.Equal(t, use.bindings, strings.Count(body[:strings.Index(body, ") {")], "device "), name)
	}
	t.Logf("%d kernels", len(kernels))
}
