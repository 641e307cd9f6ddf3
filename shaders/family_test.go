package shaders

import (
	"math"
	"strconv"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func TestFamily(t *testing.T) {
	files := fstest.MapFS{"double.wgsl": {Data: []byte(`// y = 2 x
{{template "index" .}}
{{if .Scaled}}{{read "scale: array<f32>"}}{{end}}
{{read "x: array<%s>" .Type}}
{{write "y: array<%s>" .Type}} // [N]
`)}}
	f := NewFamily("test", files, "index.wgsl")
	type params struct {
		Elementwise
		Scaled bool
		Type   string
	}
	s := f.Source("double.wgsl", "double 8", [3]uint32{1, 1, 1}, 8, params{Elementwise{32}, false, "f32"})
	require.Equal(t, "test/double", s.Family)
	require.Equal(t, []string{"x", "y"}, s.Names)
	require.Equal(t, []bool{false, true}, s.Writes)
	require.Contains(t, s.Code, "\n@group(0) @binding(0) var<storage, read> x: array<f32>;\n@group(0) @binding(1) var<storage, read_write> y: array<f32>; // [N]\n")
	require.NotContains(t, s.Code, "\n\n\n")
	// One rendering does not count the bindings of another.
	s = f.Source("double.wgsl", "double 8", [3]uint32{1, 1, 1}, 8, params{Elementwise{32}, true, "vec4<f32>"})
	require.Equal(t, []string{"scale", "x", "y"}, s.Names)
	require.Contains(t, s.Code, "@binding(2) var<storage, read_write> y: array<vec4<f32>>;")

	require.Panics(t, func() { f.Source("double.wgsl", "", [3]uint32{}, 0, struct{}{}) })
	require.Panics(t, func() { f.Source("triple.wgsl", "", [3]uint32{}, 0, nil) })
	require.Panics(t, func() { NewFamily("test", files, "nothing.wgsl") })
	require.Panics(t, func() { NewFamily("test", fstest.MapFS{}) })
	require.Panics(t, func() { NewFamily("test", fstest.MapFS{"index.wgsl": {}}, "index.wgsl") })
	require.Contains(t, string(f.Text()), "y = 2 x")
	require.Contains(t, string(f.Text()), "fn index(")
}

func TestF32(t *testing.T) {
	for _, v := range []float32{0, 1, -3, 1e-5, 0.1, 1.0 / 3, 1e30, 16777216, math.SmallestNonzeroFloat32, math.MaxFloat32} {
		text := f32(v)
		require.Regexp(t, `^-?\d+(\.\d+)?(e[+-]\d+)?f$`, text)
		require.Regexp(t, `[.e]`, text, "WGSL reads digits alone as an integer")
		back, err := strconv.ParseFloat(text[:len(text)-1], 32)
		require.NoError(t, err)
		require.Equal(t, v, float32(back))
	}
}

func TestFunctions(t *testing.T) {
	require.Equal(t, []int{0, 1, 2}, seq(3))
	require.Equal(t, "", component(1, 0))
	require.Equal(t, ".z", component(4, 2))
	for limit, want := range map[int]int{1: 1, 64: 1, 65: 2, 4096: 2, 4097: 3, MaxUniform: 3} {
		require.Equal(t, want, digits(limit), limit)
	}
	m, err := args("rows", "queries", "n", 4)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"rows": "queries", "n": 4}, m)
	for _, wrong := range [][]any{{"rows"}, {1, 2}} {
		_, err := args(wrong...)
		require.Error(t, err, wrong)
	}
}

func TestLayouts(t *testing.T) {
	for n, want := range map[int][3]uint32{0: {1, 1, 1}, 7: {7, 1, 1}, MaxGroups: {MaxGroups, 1, 1}, MaxGroups + 1: {32768, 2, 1}} {
		require.Equal(t, want, Fold(n), n)
	}
	for _, target := range []Target{GPU, CPU, CPUTable} {
		for _, width := range []int{1, 3, 37, 768, 100000} {
			r, groups := target.Rowwise(70000, width)
			require.Equal(t, r.Threads, r.Lanes*r.RowsPerGroup, "%v %d", target, width)
			require.LessOrEqual(t, r.Threads, MaxThreads)
			require.GreaterOrEqual(t, int(groups[0]*groups[1])*r.RowsPerGroup, 70000)
			v, groups := target.Vectors(5, width)
			require.Equal(t, width%4 == 0, v.Each == 4)
			require.GreaterOrEqual(t, int(groups[0]*groups[1])*v.Threads*v.Each, 5*width)
		}
	}
}
