package shaders_test

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/shaders"
	"bitnet/shaders/attention"
	"bitnet/shaders/loss"
	"bitnet/shaders/matmul"
	"bitnet/shaders/norm"
	"bitnet/shaders/optimizer"
	"bitnet/shaders/ternary"
)

var update = flag.Bool("update", false, "rewrite the kernels in testdata")

// goldens are small kernels that are kept in testdata as they are rendered, so
// that a change of a template shows what it changes.
func goldens(t *testing.T) map[string]shaders.Source {
	float := matmul.Operand{Kind: matmul.F32, AlongK: true}
	codes := matmul.Operand{Kind: matmul.Int8, AlongK: true}
	weights := matmul.Operand{Kind: matmul.Ternary, AlongK: true}
	units := shaders.MatrixUnits{
		Shapes:      []shaders.MatrixShape{{M: 16, N: 16, K: 16, Component: "f16", Result: "f32"}},
		SubgroupMin: 32, SubgroupMax: 32, WorkgroupMemory: 32 << 10,
	}
	matrix := matmul.Product{Target: shaders.GPU, M: 64, N: 64, K: 32, A: float, B: float, Accumulate: true}.MatrixVariants(units)
	require.NotEmpty(t, matrix)
	linear := matmul.Product{M: 64, N: 64, K: 32, A: codes, B: weights, RowScale: true, ColScale: true, Residual: true}
	packed := linear
	packed.Target = shaders.GPU
	quantize := ternary.Quantize{Target: shaders.GPU, Projections: []ternary.Projection{{Rows: 8, K: 32}, {Rows: 4, K: 48, Weight: 256, Code: 16, Scale: 8}}}
	return map[string]shaders.Source{
		"matmul_gpu":        matmul.Product{Target: shaders.GPU, M: 64, N: 64, K: 32, A: float, B: weights, ScaleK: true}.Source(),
		"matmul_gpu_packed": packed.PackedVariants(0)[0].Source(),
		"matmul_gpu_matrix": matrix[0].Source(),
		"matmul_gpu_rows":   matmul.Product{Target: shaders.GPU, M: 1, N: 8, K: 32, A: codes, B: weights, RowScale: true, ColScale: true}.Source(),
		"matmul_cpu":        matmul.Product{Target: shaders.CPU, M: 6, N: 6, K: 6, A: float, B: float}.Source(),
		"matmul_cpu_table":  matmul.Product{Target: shaders.CPUTable, M: 4, N: 8, K: 8, A: float, B: float, Accumulate: true}.Source(),
		"attention_gpu":     attention.Causal{Target: shaders.GPU, Batch: 1, Seq: 8, Heads: 2, KVHeads: 1, HeadDim: 8}.Source(),
		"norm_gpu":          norm.RMS{Target: shaders.GPU, Tokens: 2, Width: 8, Eps: 1e-5, Quantize: true, Gated: true}.Source(),
		"cross_entropy_gpu": loss.CrossEntropy{Target: shaders.GPU, Rows: 2, Vocab: 16, Gradient: true}.Source(),
		"distill_gpu":       loss.Distill{Target: shaders.GPU, Rows: 2, Vocab: 16, Weight: 0.5, Temperature: 2}.Source(),
		"adamw_gpu":         optimizer.AdamW{Target: shaders.GPU, N: 16, Beta1: 0.9, Beta2: 0.95, Eps: 1e-8, Decay: true}.Source(),
		"muon_start_gpu":    optimizer.Orthogonal{Target: shaders.GPU, Count: 2, Rows: 4, Cols: 8}.Start(),
		"muon_next_gpu":     optimizer.Orthogonal{Target: shaders.GPU, Count: 2, Rows: 4, Cols: 8}.Next().Source(),
		"ternary_pack_gpu":  quantize.Pack(),
	}
}

func TestRendered(t *testing.T) {
	kept, err := filepath.Glob(filepath.Join("testdata", "*.wgsl"))
	require.NoError(t, err)
	all := goldens(t)
	for name, s := range all {
		path := filepath.Join("testdata", name+".wgsl")
		if *update {
			require.NoError(t, os.MkdirAll("testdata", 0o755))
			require.NoError(t, os.WriteFile(path, []byte(s.Code), 0o644))
			continue
		}
		want, err := os.ReadFile(path)
		require.NoError(t, err, "go test ./shaders -update writes it")
		require.Equal(t, string(want), s.Code, "%s differs: look at it, then go test ./shaders -update", name)
	}
	if !*update {
		require.Len(t, kept, len(all), "testdata has a kernel that is not rendered here")
	}
}

// What a Source says of its bindings is what its code declares.
func TestBindings(t *testing.T) {
	declaration := regexp.MustCompile(`@group\(0\) @binding\((\d+)\) var<storage, (read|read_write)> (\w+):`)
	for name, s := range goldens(t) {
		found := declaration.FindAllStringSubmatch(s.Code, -1)
		require.Len(t, found, strings.Count(s.Code, "var<storage"), name)
		require.Len(t, s.Names, len(found), name)
		require.Len(t, s.Writes, len(found), name)
		for i, m := range found {
			require.Equal(t, strconv.Itoa(i), m[1], name)
			require.Equal(t, s.Writes[i], m[2] == "read_write", "%s: %s", name, m[3])
			require.Equal(t, s.Names[i], m[3], name)
		}
	}
}
