package graph

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/shaders"
)

// amdCards are what Mesa calls the cards that kernels are compiled for: the RX 6800 and 7900.
var amdCards = []string{"navi21", "navi31"}

// compiled is what AMD's compiler in Mesa, ACO, says of a kernel.
type compiled struct {
	kernel               string
	registers, spilled   int // of an invocation
	shared               int // bytes of workgroup memory
	waves                int // at once on a processor, 16 or 32 at most
	instructions, cycles int // cycles of a wave: what ACO expects where loads take none
}

// Cards are not at hand everywhere, but AMD's compiler is: what it makes of the
// kernels of a training step says whether their sums fit into registers.
func TestKernelsForAMD(t *testing.T) {
	radv := radvLibrary()
	if radv == "" {
		t.Skip("Mesa's driver for AMD cards is not installed (Debian: mesa-vulkan-drivers)")
	}
	cc, err := exec.LookPath(cmp.Or(os.Getenv("CC"), "cc"))
	if err != nil {
		t.Skip("no C compiler")
	}
	dir := t.TempDir()
	library := filepath.Join(dir, "card.so")
	out, err := exec.Command(cc, "-shared", "-fPIC", "-DRADV="+strconv.Quote(radv), filepath.Join("..", "testdata", "amd", "driver.c"), "-o", library, "-ldl").CombinedOutput()
	require.NoError(t, err, string(out))
	manifest := filepath.Join(dir, "card.json")
	require.NoError(t, os.WriteFile(manifest, []byte(fmt.Sprintf(`{"file_format_version": "1.0.0", "ICD": {"library_path": %q, "api_version": "1.3.0"}}`, library)), 0o644))
	node := filepath.Join(dir, "node")
	require.NoError(t, os.WriteFile(node, []byte("#!/bin/sh\nexec node \"$@\" 2>>\"$BITNET_AMD_LOG\"\n"), 0o755))

	cards := amdCards
	if own := os.Getenv("BITNET_AMD"); own != "" {
		cards = strings.Fields(own)
	}
	for _, card := range cards {
		for _, backend := range []string{"wgpu", "dawn"} {
			t.Run(card+"/"+backend, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "log")
				log, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
				require.NoError(t, err)
				defer log.Close()
				cmd := exec.Command(os.Args[0], "-test.run", "^TestCompileForAMD$", "-test.v")
				cmd.Env = append(os.Environ(), "VK_DRIVER_FILES="+manifest, "VK_ICD_FILENAMES="+manifest, "RADV_FORCE_FAMILY="+card,
					"RADV_DEBUG=shaderstats,nocache", "BITNET_BACKEND="+backend, "BITNET_NODE="+node, "BITNET_AMD_LOG="+path)
				cmd.Stderr = log
				said, err := cmd.Output()
				if bytes.Contains(said, []byte("--- SKIP")) {
					t.Skip(string(said))
				}
				text, _ := os.ReadFile(path)
				require.NoError(t, err, "%s\n%s", said, text)
				list := readCompiled(t, string(text))
				for _, k := range list {
					t.Log(k)
				}
				for _, k := range list {
					assert.Zero(t, k.spilled, "%s keeps sums in memory", k.kernel)
				}
			})
		}
	}
}

func (k compiled) String() string {
	return fmt.Sprintf("%3d registers, %2d spilled, %2d waves, %5d bytes shared, %4d instructions, %7d cycles: %s",
		k.registers, k.spilled, k.waves, k.shared, k.instructions, k.cycles, k.kernel)
}

const amdKernel = "kernel: "

// readCompiled reads the names that TestCompileForAMD writes, and what the compiler says behind each.
func readCompiled(t *testing.T, log string) []compiled {
	number := regexp.MustCompile(`(?m)^(VGPRs|Spilled VGPRs|Subgroups per SIMD|LDS size|Instructions|Inverse Throughput): (\d+)$`)
	var out []compiled
	for _, part := range strings.Split(log, amdKernel)[1:] {
		k := compiled{}
		k.kernel, part, _ = strings.Cut(part, "\n")
		found := map[string]int{}
		for _, m := range number.FindAllStringSubmatch(part, -1) {
			found[m[1]], _ = strconv.Atoi(m[2])
		}
		require.Len(t, found, 6, "what the compiler says of %s: %s", k.kernel, part)
		k.registers, k.spilled, k.shared = found["VGPRs"], found["Spilled VGPRs"], found["LDS size"]
		k.waves, k.instructions, k.cycles = found["Subgroups per SIMD"], found["Instructions"], found["Inverse Throughput"]
		out = append(out, k)
	}
	require.NotEmpty(t, out, log)
	return out
}

// TestCompileForAMD is the part of TestKernelsForAMD that sees that card.
func TestCompileForAMD(t *testing.T) {
	path := os.Getenv("BITNET_AMD_LOG")
	if path == "" {
		t.Skip("a part of TestKernelsForAMD")
	}
	log, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	defer log.Close()
	all, err := devices()
	require.NoError(t, err)
	require.Len(t, all, 1)
	dev := all[0]
	if want := os.Getenv("BITNET_BACKEND"); dev.Adapter().Backend != want {
		t.Skipf("no %s here: make dawn", want)
	}
	limits := LimitsOf(dev.Adapter())
	precisions := []Precision{Float32}
	if dev.Adapter().Has(gpu.SubgroupMatrix) {
		// Those that kernels use are left out where they compute nothing, as here.
		limits.Units.Shapes = []shaders.MatrixShape{{M: 16, N: 16, K: 16, Component: "f16", Result: "f32"}, {M: 16, N: 16, K: 16, Component: "i8", Result: "i32"}}
		precisions = append(precisions, Mixed, IntegerGradients)
	}
	done := map[string]bool{}
	for _, precision := range precisions {
		ps := NewParams(TargetOf(dev.Adapter()), limits)
		ps.Precision = precision
		g := benchModel(ps, benchShape{layers: 1, hidden: 768, ffn: 3072, vocab: 32000, batch: 16, seq: 256, heads: Heads{12, 6, 64}})
		require.NoError(t, ps.Layout(true))
		plan, err := g.PlanTraining(AdamW{0.9, 0.95, 1e-8})
		require.NoError(t, err)
		for _, c := range plan.calls {
			if done[c.src.Code] {
				continue
			}
			done[c.src.Code] = true
			_, err := fmt.Fprintf(log, "%s%s %s %s\n", amdKernel, c.src.Family, c.src.Label, c.src.Variant)
			require.NoError(t, err)
			_, err = compileSource(dev, c.src)
			require.NoError(t, err, c.src.Label)
		}
	}
}

// radvLibrary is the path or name of Mesa's driver for AMD cards.
func radvLibrary() string {
	for _, pattern := range []string{"/usr/share/vulkan/icd.d/radeon_icd*.json", "/etc/vulkan/icd.d/radeon_icd*.json", "../.vulkan/root/usr/share/vulkan/icd.d/radeon_icd*.json"} {
		found, _ := filepath.Glob(pattern)
		for _, path := range found {
			text, err := os.ReadFile(path)
			if m := regexp.MustCompile(`"library_path": *"([^"]+)"`).FindSubmatch(text); err == nil && m != nil {
				return string(m[1])
			}
		}
	}
	return ""
}
