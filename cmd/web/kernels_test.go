package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/cost"
	"bitnet/bitnet/train"
	"bitnet/gpu"
)

// kernels are a line for each preset and kind of adapter, with the hash of all
// WGSL of a training step.
func kernels(t *testing.T) string {
	t.Helper()
	card := cost.Card()
	units := card
	units.Features = append(append([]string{}, card.Features...), gpu.SubgroupMatrix, gpu.ShaderF16, gpu.Subgroups, gpu.SubgroupSizeControl, gpu.PackedDot)
	units.SubgroupMin, units.SubgroupMax = 32, 32
	units.Matrices = []gpu.MatrixShape{{M: 16, N: 16, K: 16, Component: "f16", Result: "f32"}, {M: 16, N: 16, K: 32, Component: "i8", Result: "i32"}}
	cpu := card
	cpu.Kind = gpu.CPU
	table := cpu
	table.Features = append(append([]string{}, cpu.Features...), gpu.UniformTable)
	var out strings.Builder
	for _, name := range train.Presets() {
		for _, a := range []struct {
			name string
			gpu.Adapter
		}{{"card", card}, {"units", units}, {"cpu", cpu}, {"table", table}} {
			c, err := train.Preset(name)
			require.NoError(t, err)
			_, plan, err := train.Plan(c, a.Adapter)
			require.NoError(t, err)
			h := sha256.New()
			n := 0
			for _, s := range plan.Sources() {
				fmt.Fprintf(h, "%d %s", len(s.Code), s.Code)
				n++
			}
			fmt.Fprintf(&out, "kernels: %s on %s: %d sources %x\n", name, a.name, n, h.Sum(nil))
		}
	}
	return out.String()
}

// The kernels of a browser are those of the program, to the byte: the same test
// writes their hashes here and in Node.js.
func TestKernelsAreTheSame(t *testing.T) {
	got := kernels(t)
	require.Contains(t, got, "simple on card")
	if runtime.GOOS == "js" {
		fmt.Print(got)
		return
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("Node.js is missing: install it to compare the kernels of a browser")
	}
	node, err := filepath.Abs(filepath.Join("..", "..", "gpu", "browser", "node"))
	require.NoError(t, err)
	c := exec.Command("go", "test", "-exec", node, "-count=1", "-v", "-run", "^TestKernelsAreTheSame$", ".")
	c.Env = append(os.Environ(), "GOOS=js", "GOARCH=wasm", "CGO_ENABLED=0")
	text, err := c.CombinedOutput()
	require.NoError(t, err, "%s", text)
	var there strings.Builder
	for _, line := range bytes.SplitAfter(text, []byte("\n")) {
		if bytes.HasPrefix(line, []byte("kernels: ")) {
			there.Write(line)
		}
	}
	require.Equal(t, got, there.String())
}
