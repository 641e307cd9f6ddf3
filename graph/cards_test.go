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
	"bitnet/gpu/dawn"
	"bitnet/gpu/gputest"
	"bitnet/shaders"
)

// Few machines have the cards of every maker, but Mesa's compilers for them run anywhere:
// testdata/cards replaces the card.
type maker struct {
	name     string
	manifest string   // of Mesa's driver
	cards    []string // what Mesa calls those that kernels are compiled for
	env      string   // that chooses one of them
	flags    []string // of the C compiler, for testdata/cards/driver.c
	preload  string   // the file of testdata/cards that is loaded before the driver
	none     string   // why a driver may show no card
	// What matrix units multiply. Shapes are left out that compute nothing, which are all of them here.
	units []shaders.MatrixShape
	// What the compiler calls the numbers of compiled.
	registers, spilled, waves, instructions, cycles string
}

var makers = []maker{{
	name: "AMD", manifest: "radeon_icd*.json", flags: []string{"-DNOTHING_RUNS"},
	cards: []string{"navi21", "navi31"}, env: "RADV_FORCE_FAMILY", // RX 6800 and 7900
	none:      "this Mesa compiles for no AMD card that is not there; 25 does, 26 does not",
	units:     []shaders.MatrixShape{{M: 16, N: 16, K: 16, Component: "f16", Result: "f32"}, {M: 16, N: 16, K: 16, Component: "i8", Result: "i32"}},
	registers: "VGPRs", spilled: "Spilled VGPRs", waves: "Subgroups per SIMD", instructions: "Instructions", cycles: "Inverse Throughput",
}, {
	name: "NVIDIA", manifest: "nouveau_icd*.json", preload: "nouveau.c",
	cards:     []string{"ga106"}, // RTX 3060
	units:     []shaders.MatrixShape{{M: 16, N: 16, K: 16, Component: "f16", Result: "f32"}, {M: 16, N: 16, K: 32, Component: "i8", Result: "i32"}},
	registers: "Number of GPRs", spilled: "Spills to memory", waves: "Max warps/SM", instructions: "Instruction count", cycles: "Static cycle count",
}}

// compiled is what a compiler reports of a kernel.
type compiled struct {
	kernel               string
	registers, spilled   int // of an invocation
	waves                int // at once on a processor; NVIDIA's as far as registers allow
	instructions, cycles int // cycles of a wave: what the compiler expects where loads take none
}

func (k compiled) String() string {
	return fmt.Sprintf("%3d registers, %3d spilled, %2d waves, %4d instructions, %7d cycles: %s",
		k.registers, k.spilled, k.waves, k.instructions, k.cycles, k.kernel)
}

// The compilers of cards must keep the sums of all kernels of a training step in registers.
func TestKernelsForCards(t *testing.T) {
	for _, m := range makers {
		t.Run(m.name, func(t *testing.T) { testKernelsFor(t, m) })
	}
}

func testKernelsFor(t *testing.T, m maker) {
	driver, start := findDriver(m.manifest)
	if driver == "" {
		t.Skipf("Mesa's driver for cards of %s is not here: make test-matrix brings it", m.name)
	}
	cc, err := exec.LookPath(cmp.Or(os.Getenv("CC"), "cc"))
	if err != nil {
		t.Skip("no C compiler")
	}
	dir := t.TempDir()
	build := func(source string, flags ...string) string {
		library := filepath.Join(dir, source+".so")
		args := append([]string{"-shared", "-fPIC", filepath.Join("..", "testdata", "cards", source), "-o", library, "-ldl"}, flags...)
		out, err := exec.Command(cc, args...).CombinedOutput()
		require.NoError(t, err, string(out))
		return library
	}
	library := build("driver.c", append(m.flags, "-DDRIVER="+strconv.Quote(driver))...)
	manifest := filepath.Join(dir, "card.json")
	require.NoError(t, os.WriteFile(manifest, []byte(fmt.Sprintf(`{"file_format_version": "1.0.0", "ICD": {"library_path": %q, "api_version": "1.3.0"}}`, library)), 0o644))
	if m.preload != "" {
		preload := build(m.preload)
		if len(start) > 0 {
			start = append(start, "--preload", preload)
		} else {
			start = []string{"env", "LD_PRELOAD=" + preload}
		}
	}
	node, err := exec.LookPath("node")
	if err != nil {
		node = "node"
	}
	script := filepath.Join(dir, "node")
	require.NoError(t, os.WriteFile(script, []byte(fmt.Sprintf("#!/bin/sh\nexec '%s' \"$@\" 2>>\"$BITNET_CARD_LOG\"\n", strings.Join(append(start, node), "' '"))), 0o755))

	for _, card := range m.cards {
		for _, backend := range []string{"wgpu", "dawn"} {
			t.Run(card+"/"+backend, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "log")
				log, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR|os.O_APPEND, 0o644)
				require.NoError(t, err)
				defer log.Close()
				command := append(append([]string{}, start...), os.Args[0], "-test.run", "^TestCompileForCard$", "-test.v")
				cmd := exec.Command(command[0], command[1:]...)
				cmd.Env = append(os.Environ(), "VK_DRIVER_FILES="+manifest, "VK_ICD_FILENAMES="+manifest, "MESA_SHADER_CACHE_DISABLE=1",
					"BITNET_BACKEND="+backend, "BITNET_NODE="+script, "BITNET_CARD="+m.name, "BITNET_CARD_LOG="+path)
				if m.env != "" {
					cmd.Env = append(cmd.Env, m.env+"="+card)
				}
				cmd.Stderr = log
				said, err := cmd.Output()
				if bytes.Contains(said, []byte("--- SKIP")) {
					t.Skip(string(said))
				}
				text, _ := os.ReadFile(path)
				require.NoError(t, err, "%s\n%s", said, text)
				list := m.readCompiled(t, string(text))
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

const cardKernel = "kernel: "

// readCompiled reads the names that TestCompileForCard writes, and what the compiler reports after each.
func (m maker) readCompiled(t *testing.T, log string) []compiled {
	number := regexp.MustCompile(`(?m)^(.+): (\d+)$`)
	var out []compiled
	for _, part := range strings.Split(log, cardKernel)[1:] {
		name, part, _ := strings.Cut(part, "\n")
		found := map[string]int{}
		for _, line := range number.FindAllStringSubmatch(part, -1) {
			found[line[1]], _ = strconv.Atoi(line[2])
		}
		for _, n := range []string{m.registers, m.spilled, m.waves, m.instructions, m.cycles} {
			require.Contains(t, found, n, "what the compiler says of %s: %s", name, part)
		}
		out = append(out, compiled{name, found[m.registers], found[m.spilled], found[m.waves], found[m.instructions], found[m.cycles]})
	}
	require.NotEmpty(t, out, log)
	return out
}

// TestCompileForCard is the part of TestKernelsForCards that sees such a card.
func TestCompileForCard(t *testing.T) {
	path := os.Getenv("BITNET_CARD_LOG")
	if path == "" {
		t.Skip("a part of TestKernelsForCards")
	}
	log, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	require.NoError(t, err)
	defer log.Close()
	if os.Getenv("BITNET_BACKEND") == "dawn" {
		if err := dawn.Installed(); err != nil {
			t.Skip(err)
		}
	}
	all, err := gputest.Devices()
	require.NoError(t, err)
	var card maker
	for _, m := range makers {
		if m.name == os.Getenv("BITNET_CARD") {
			card = m
		}
	}
	if len(all) == 0 && card.none != "" {
		t.Skip(card.none)
	}
	require.Len(t, all, 1)
	dev := all[0]
	if want := os.Getenv("BITNET_BACKEND"); dev.Adapter().Backend != want {
		t.Skipf("no %s here: make dawn", want)
	}
	type setting struct {
		units     []shaders.MatrixShape
		precision Precision
		opt       Optimizer
	}
	adamw := AdamW{0.9, 0.95, 1e-8}
	settings := []setting{{nil, Float32, adamw}, {nil, Float32, testMuon}}
	if dev.Adapter().Has(gpu.SubgroupMatrix) {
		settings = append(settings, setting{card.units, Float32, adamw}, setting{card.units, Mixed, adamw}, setting{card.units, IntegerGradients, adamw})
	}
	done := map[string]bool{}
	for _, s := range settings {
		limits := LimitsOf(dev.Adapter())
		limits.Units.Shapes = s.units
		ps := NewParams(TargetOf(dev.Adapter()), limits)
		ps.Precision = s.precision
		g := benchModel(ps, benchShape{layers: 1, hidden: 768, ffn: 3072, vocab: 32000, batch: 16, seq: 256, heads: Heads{12, 6, 64}})
		require.NoError(t, ps.Layout(s.opt.Storage()))
		plan, err := g.PlanTraining(s.opt)
		require.NoError(t, err)
		for _, c := range plan.calls {
			if done[c.src.Code] {
				continue
			}
			done[c.src.Code] = true
			_, err := fmt.Fprintf(log, "%s%s %s %s\n", cardKernel, c.src.Family, c.src.Label, c.src.Variant)
			require.NoError(t, err)
			_, err = CompileKernel(dev, c.src)
			require.NoError(t, err, c.src.Label)
		}
	}
}

// findDriver returns the path or name of a driver of Mesa, and how a program is started that can
// load it: the drivers that make test-matrix brings come with the C library that they need.
func findDriver(manifest string) (library string, start []string) {
	for _, folder := range []string{"/usr/share", "/etc", "../.vulkan/root/usr/share", "../.vulkan.matrix/root/usr/share"} {
		found, _ := filepath.Glob(filepath.Join(folder, "vulkan", "icd.d", manifest))
		for _, path := range found {
			text, err := os.ReadFile(path)
			m := regexp.MustCompile(`"library_path": *"([^"]+)"`).FindSubmatch(text)
			if err != nil || m == nil {
				continue
			}
			library = string(m[1])
			loaders, _ := filepath.Glob("../.vulkan.matrix/root/usr/lib/*/ld-linux*")
			if strings.HasPrefix(path, "../.vulkan.matrix/") && len(loaders) > 0 {
				loader, err := filepath.Abs(loaders[0])
				if err != nil {
					continue
				}
				start = []string{loader, "--library-path", filepath.Dir(loader)}
			}
			return library, start
		}
	}
	return "", nil
}
