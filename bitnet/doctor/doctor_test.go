package doctor

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/gpu/driver"
)

func software(mesa string, features ...string) gpu.Adapter {
	a := gpu.Adapter{Adapter: driver.Adapter{Name: "llvmpipe", Driver: "llvmpipe Mesa " + mesa, Kind: gpu.CPU, Features: features}, Backend: "wgpu"}
	a.Limits = gpu.Limits{BufferSize: 2 << 30, BindingSize: 128 << 20, StorageBindings: 8, WorkgroupMemory: 16 << 10, WorkgroupInvocations: 256}
	return a
}

func card3060() gpu.Adapter {
	a := software("")
	a.Name, a.Driver, a.Kind, a.VendorID = "NVIDIA GeForce RTX 3060", "NVIDIA 550.54", gpu.Discrete, 0x10de
	return a
}

func TestFindings(t *testing.T) {
	cpu, graphics := software("25.0.7-2", gpu.UniformTable, gpu.TimestampQuery), card3060()
	poor := cpu
	poor.Limits.StorageBindings = 4
	onDawn := graphics
	onDawn.Backend = "dawn"
	integrated := graphics
	integrated.Kind = gpu.Integrated
	missing := errors.New("the npm package is not there")
	setting := func(text string) string {
		path := filepath.Join(t.TempDir(), "enabled")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	fits := []want{{preset: "small", memory: 1e6}, {preset: "large", memory: 4e9}}
	for _, row := range []struct {
		name  string
		got   Finding
		grade Grade
		says  string // or does
	}{
		{"one adapter", adapter([]gpu.Adapter{cpu}, cpu, nil), OK, "llvmpipe: CPU"},
		{"two adapters", adapter([]gpu.Adapter{cpu, graphics}, graphics, nil), OK, "the best of 2"},
		{"no adapter", adapter(nil, gpu.Adapter{}, errors.New("none")), Fail, "install-vulkan.sh"},
		{"wrong adapter", adapter([]gpu.Adapter{cpu}, gpu.Adapter{}, errors.New("no adapter is called")), Fail, "bitnet devices"},

		{"no card", card(nil, []gpu.Adapter{cpu}), OK, "no graphics card"},
		{"card with a driver", card(makers[:1], []gpu.Adapter{cpu, graphics}), OK, "has a driver"},
		{"card without", card(makers[:1], []gpu.Adapter{cpu}), Warn, "NVIDIA_DRIVER_CAPABILITIES"},
		{"second card without", card(makers[:2], []gpu.Adapter{graphics}), Warn, "AMD"},

		{"new Mesa", softwareVersion(cpu), OK, "25.0.7"},
		{"old Mesa", softwareVersion(software("22.3.6")), Warn, "--force"},
		{"no table", softwareVersion(software("25.0.7")), Warn, "slower kernels"},
		{"a card's driver", softwareVersion(graphics), OK, "550.54"},

		{"huge pages", hugePages(setting("always [madvise] never")), OK, "use them"},
		{"no huge pages", hugePages(setting("always madvise [never]")), Warn, "up to 1.5 times"},
		{"a kernel without huge pages", hugePages("no such file"), Warn, "has none"},

		{"limits", limits(cpu, fits, nil), OK, "every preset fits"},
		{"poor limits", limits(poor, fits, nil), Fail, "4 bindings"},
		{"one preset too large", limits(cpu, []want{{preset: "big", err: errors.New("too wide")}}, nil), Warn, "big (too wide)"},

		{"timestamps", timestamps(cpu), OK, "one by one"},
		{"no timestamps", timestamps(graphics), Warn, "whole steps"},

		{"enough memory", memory(cpu, 8e9, fits), OK, "7.5 GiB free"},
		{"little memory", memory(cpu, 2e9, fits), Warn, "large needs 3.7 GiB"},
		{"unknown memory", memory(cpu, 0, fits), OK, "not known"},
		{"shared memory", memory(integrated, 2e9, fits), Warn, "large needs"},
		{"memory of a card", memory(graphics, 1e6, fits), OK, "drivers do not report"},

		{"Dawn in use", optional(driver.Info{Name: "dawn", Install: "make dawn"}, onDawn, nil), OK, "in use"},
		{"Dawn there", optional(driver.Info{Name: "dawn", Install: "make dawn"}, cpu, nil), OK, "installed"},
		{"no Dawn, CPU", optional(driver.Info{Name: "dawn", Install: "make dawn"}, cpu, missing), OK, "only a GPU"},
		{"no Dawn, GPU", optional(driver.Info{Name: "dawn", Install: "make dawn"}, graphics, missing), Warn, "make dawn"},

		{"disk", room("runs", 10e9, nil, []need{{"a", 5e9}}, "move"), OK, "enough for a"},
		{"small disk", room("runs", 1e9, nil, []need{{"a", 5e9}}, "move"), Warn, "a takes about 4.7 GiB"},
		{"full disk", room("runs", 1e6, nil, nil, "move"), Fail, "only 977 KiB free"},
		{"no disk", room("runs", 0, errors.New("gone"), nil, "move"), Fail, "gone"},
		{"folder", writable(t.TempDir(), "move"), OK, "written to"},
		{"no folder", writable(filepath.Join(t.TempDir(), "a"), "move"), Fail, "no such file"},
	} {
		t.Run(row.name, func(t *testing.T) {
			require.Equal(t, row.grade, row.got.Grade, row.got.Says)
			require.Contains(t, row.got.Says+row.got.Do, row.says)
			require.Equal(t, row.grade == OK, row.got.Do == "", "advice if and only if it is needed")
		})
	}
}

func TestCards(t *testing.T) {
	dir := t.TempDir()
	for name, ids := range map[string][2]string{
		"0000:01:00.0": {"0x030000\n", "0x10de\n"}, "0000:01:00.1": {"0x040300\n", "0x10de\n"},
		"0000:02:00.0": {"0x030200\n", "0x1002\n"}, "0000:03:00.0": {"0x030000\n", "0x1af4\n"},
	} {
		require.NoError(t, os.Mkdir(filepath.Join(dir, name), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name, "class"), []byte(ids[0]), 0o644))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name, "vendor"), []byte(ids[1]), 0o644))
	}
	var names []string
	for _, m := range cards(dir) {
		names = append(names, m.name)
	}
	require.Equal(t, []string{"NVIDIA", "AMD"}, names)
	require.Empty(t, cards(filepath.Join(dir, "none")))
}

func TestPresetsFit(t *testing.T) {
	wants, err := presets(software("25.0.7"))
	require.NoError(t, err)
	require.Equal(t, OK, limits(software("25.0.7"), wants, nil).Grade, "WebGPU's guaranteed limits are enough")
	for _, w := range wants {
		require.Positive(t, w.memory, w.preset)
		require.Positive(t, w.checkpoint, w.preset)
	}
	require.Len(t, texts(), 2)
}

func TestExamine(t *testing.T) {
	if all, err := gpu.Adapters(); err != nil || len(all) == 0 {
		t.Skip("no graphics adapter: run gpu/install-vulkan.sh")
	}
	t.Setenv("BITNET_DAWN", t.TempDir())
	seen := map[string]Finding{}
	Examine(Options{RunsDir: filepath.Join(t.TempDir(), "runs")}, func(f Finding) {
		require.NotContains(t, seen, f.Check)
		seen[f.Check] = f
	})
	for _, check := range []string{"adapter", "card", "driver", "kernel", "limits", "timestamps", "memory", "dawn", "runs", "runs disk", "cache", "cache disk"} {
		require.Contains(t, seen, check)
	}
	require.Equal(t, OK, seen["kernel"].Grade, seen["kernel"].Says)
	require.Equal(t, OK, seen["runs"].Grade, seen["runs"].Says)
}
