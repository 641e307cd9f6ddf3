package model_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/cost"
	"bitnet/bitnet/model"
	"bitnet/bitnet/train"
	"bitnet/gpu"
	"bitnet/gpu/driver"
	"bitnet/graph"
	"bitnet/shaders"
)

// guaranteed is a GPU with no more than what WebGPU guarantees.
func guaranteed() gpu.Adapter {
	return gpu.Adapter{Adapter: driver.Adapter{
		Name: "the least WebGPU allows", Kind: gpu.Discrete,
		Limits: gpu.Limits{
			BufferSize: 256 << 20, BindingSize: 128 << 20, OffsetAlignment: 256, StorageBindings: 8,
			WorkgroupMemory: 16 << 10, WorkgroupInvocations: 256, WorkgroupSizeX: 256, WorkgroupsPerDimension: 65535,
		},
	}}
}

// presetSources are the kernels of training and of generation of a preset on an adapter.
func presetSources(t *testing.T, name, optimizer string, a gpu.Adapter) (out []shaders.Source) {
	t.Helper()
	c, err := train.Preset(name)
	require.NoError(t, err)
	require.NoError(t, c.Set("optimizer="+optimizer))
	_, plan, err := train.Plan(c, a)
	require.NoError(t, err)
	out = append(out, plan.Sources()...)
	m, err := model.New(c.Model, a, graph.ForInference, "")
	require.NoError(t, err)
	for _, shape := range [][2]int{{1, 1}, {8, 1}, {1, 512}, {8, 64}} { // sequences, tokens at once
		cache, err := m.NewCache(shape[0], min(1024, c.Model.MaxPositions))
		require.NoError(t, err)
		plan, err := m.PlanCached(cache, shape[0]*min(shape[1], c.Model.MaxPositions), shape[0], true)
		require.NoError(t, err)
		out = append(out, plan.Sources()...)
	}
	return out
}

// No kernel of the default path needs more than WebGPU guarantees: 16 KiB of
// workgroup memory, 256 invocations, 8 storage buffers, 65,535 workgroups.
func TestDefaultKernelsFitWebGPU(t *testing.T) {
	most := map[string]int{}
	for _, preset := range train.Presets() {
		for _, optimizer := range []string{"adamw", "muon"} {
			for _, s := range presetSources(t, preset, optimizer, guaranteed()) {
				use, err := usageOf(s.Code)
				require.NoError(t, err, "%s\n%s", s.Label, s.Code)
				require.LessOrEqual(t, use.invocations, 256, s.Label)
				require.LessOrEqual(t, use.workgroup, 16<<10, s.Label)
				require.LessOrEqual(t, use.bindings, 8, s.Label)
				require.Equal(t, len(s.Names), use.bindings, s.Label)
				require.NotContains(t, s.Code, "enable ", s.Label)
				for _, n := range s.Groups {
					require.LessOrEqual(t, n, uint32(65535), s.Label)
				}
				for what, n := range map[string]int{"invocations": use.invocations, "bytes of workgroup memory": use.workgroup, "bindings": use.bindings} {
					most[what] = max(most[what], n)
				}
			}
		}
	}
	t.Log(most)
	require.Greater(t, most["bytes of workgroup memory"], 4<<10, "the tiles of products are counted")
}

// longest is how long one dispatch may take, in seconds: desktops end those of 2.
const longest = 0.5

// No dispatch of a preset takes long on the slowest card of the table, by its
// arithmetic, even if it reaches only a tenth of the peak.
func TestNoLongDispatch(t *testing.T) {
	slowest := cost.Devices()[0]
	for _, d := range cost.Devices() {
		if d.F32 < slowest.F32 {
			slowest = d
		}
	}
	worst, label := 0.0, ""
	for _, preset := range train.Presets() {
		for _, optimizer := range []string{"adamw", "muon"} {
			for _, a := range []gpu.Adapter{guaranteed(), cost.Card()} {
				for _, s := range presetSources(t, preset, optimizer, a) {
					if seconds := s.Flops / (0.1 * slowest.F32 * 1e12); seconds > worst {
						worst, label = seconds, preset+": "+s.Label
					}
				}
			}
		}
	}
	t.Logf("%.2g s on %s: %s", worst, slowest.Name, label)
	require.Less(t, worst, longest, "%s on %s", label, slowest.Name)
	require.Positive(t, worst)
}

// usage is what a kernel needs of an adapter.
type usage struct{ invocations, workgroup, bindings int }

var (
	sizes     = regexp.MustCompile(`@workgroup_size\(([^)]*)\)`)
	storage   = regexp.MustCompile(`var<storage`)
	constants = regexp.MustCompile(`(?m)^const (\w+)(?:: u32)? = ([^;]+);`)
	aliases   = regexp.MustCompile(`(?m)^alias (\w+) = ([^;]+);`)
	shared    = regexp.MustCompile(`var<workgroup> \w+: ([^;]+);`)
	array     = regexp.MustCompile(`^array<(.+), ([^,<>]+)>$`)
	vector    = regexp.MustCompile(`^vec([234])<(\w+)>$`)
)

// usageOf reads what a kernel's text declares.
func usageOf(code string) (usage, error) {
	u := usage{invocations: 1, bindings: len(storage.FindAllString(code, -1))}
	names := map[string]string{}
	for _, m := range append(constants.FindAllStringSubmatch(code, -1), aliases.FindAllStringSubmatch(code, -1)...) {
		names[m[1]] = m[2]
	}
	size := sizes.FindStringSubmatch(code)
	if size == nil {
		return u, fmt.Errorf("it has no workgroup size")
	}
	for _, n := range strings.Split(size[1], ",") {
		v, err := number(strings.TrimSpace(n), names)
		if err != nil {
			return u, err
		}
		u.invocations *= v
	}
	for _, m := range shared.FindAllStringSubmatch(code, -1) {
		n, err := bytesOf(m[1], names)
		if err != nil {
			return u, err
		}
		u.workgroup += (n + 15) / 16 * 16
	}
	if strings.Count(code, "var<workgroup>") != len(shared.FindAllString(code, -1)) {
		return u, fmt.Errorf("a variable in workgroup memory is not understood")
	}
	return u, nil
}

// number is the value of a decimal number or of a constant.
func number(s string, names map[string]string) (int, error) {
	if text, ok := names[s]; ok {
		return number(text, names)
	}
	n, err := strconv.Atoi(strings.TrimSuffix(s, "u"))
	if err != nil {
		return 0, fmt.Errorf("%q is no number", s)
	}
	return n, nil
}

// bytesOf is the size of a type.
func bytesOf(kind string, names map[string]string) (int, error) {
	if text, ok := names[kind]; ok {
		return bytesOf(text, names)
	}
	switch kind {
	case "f32", "i32", "u32":
		return 4, nil
	}
	if m := vector.FindStringSubmatch(kind); m != nil {
		n, _ := strconv.Atoi(m[1])
		one, err := bytesOf(m[2], names)
		if n == 3 {
			n = 4 // its alignment
		}
		return n * one, err
	}
	if m := array.FindStringSubmatch(kind); m != nil {
		one, err := bytesOf(m[1], names)
		if err != nil {
			return 0, err
		}
		n, err := number(m[2], names)
		return n * one, err
	}
	return 0, fmt.Errorf("the type %q is not understood", kind)
}

// The reader of kernels is not fooled.
func TestUsageOf(t *testing.T) {
	for code, want := range map[string]usage{
		"@compute @workgroup_size(64) fn main() {}": {64, 0, 0},
		"const N = 32u;\nalias T = array<f32, 4>;\nvar<workgroup> a: array<T, N>;\nvar<workgroup> b: array<vec4<f32>, 3>;\n@group(0) @binding(0) var<storage, read> x: array<f32>;\n@workgroup_size(16, N)": {512, 32*16 + 48, 1},
	} {
		got, err := usageOf(code)
		require.NoError(t, err, code)
		require.Equal(t, want, got)
	}
	for _, code := range []string{"fn main() {}", "var<workgroup> a: Unknown;\n@workgroup_size(1)", "var<workgroup> a: array<f32, M>;\n@workgroup_size(1)", "@workgroup_size(M)"} {
		_, err := usageOf(code)
		require.Error(t, err, code)
	}
}
