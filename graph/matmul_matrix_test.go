package graph

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/gpu/gputest"
	"bitnet/shaders"
	"bitnet/shaders/matmul"
)

// onMatrixUnits runs f on every adapter with matrix units.
func onMatrixUnits(t *testing.T, f func(t *testing.T, dev *gpu.Device, units shaders.MatrixUnits)) {
	gputest.OnMatrixUnits(t, func(a gpu.Adapter) bool { return len(UnitsOf(a).Shapes) > 0 }, func(t *testing.T, dev *gpu.Device) {
		f(t, dev, UnitsOf(dev.Adapter()))
	})
}

// matrixShapes fit the tiles exactly, in part and not at all.
var matrixShapes = [][3]int{{64, 128, 64}, {20, 80, 528}, {5, 7, 9}, {130, 66, 80}}

// Every product that the model has, on matrix units and with dot products of
// four bytes, with factors that f16 holds: so the only
// error is that of the sum in f32, and there is none in integers.
func TestMatMulOnMatrixUnits(t *testing.T) {
	onMatrixUnits(t, func(t *testing.T, dev *gpu.Device, units shaders.MatrixUnits) {
		for _, s := range matrixShapes {
			for _, mm := range slices.Concat(modelProducts, liftedProducts) {
				mm.Target, mm.M, mm.N, mm.K = shaders.GPU, s[0], s[1], s[2]
				src, ok := matrixSource(mm, units)
				require.True(t, ok)
				if mm.A.Kind == matmul.Int8 && units.Has("i8", "i32") && (mm.K%16 == 0 || !mm.B.AlongK) {
					require.True(t, strings.HasSuffix(src.Label, " i8"), "%s multiplies integers", src.Label)
				}
				sources := []shaders.Source{src}
				if packed := mm.PackedVariants(0); len(packed) > 0 && dev.Adapter().Has(gpu.PackedDot) {
					sources = append(sources, packed[0].Source())
				}
				for _, src := range sources {
					t.Run(fmt.Sprintf("%s %v %v", src.Label, mm.Residual, mm.Gain), func(t *testing.T) {
						small := func(v float64) float64 { return coarse(v) / float64(max(mm.Gain, 1)) }
						got, want := product(t, dev, mm, src, small, power)
						near(t, "c", want, widen(got), exact32)
					})
				}
			}
		}
	})
}

// The integer forward is the same to the bit in every kernel and through every
// backend: its sums are exact and the scales are applied in one order.
func TestIntegerForwardAgrees(t *testing.T) {
	adapters, err := gpu.AdaptersOf("wgpu")
	require.NoError(t, err)
	if outside, err := gpu.AdaptersOf("dawn"); err == nil {
		adapters = append(adapters, outside...)
	} else {
		t.Log("without Dawn: ", err)
	}
	if len(adapters) == 0 {
		t.Skip("no adapter: run gpu/install-vulkan.sh")
	}
	for _, s := range [][3]int{{70, 130, 1040}, {64, 128, 64}} {
		var first []float32
		var by string
		for _, a := range adapters {
			dev, err := a.Open()
			require.NoError(t, err)
			mm := matmul.Product{
				M: s[0], N: s[1], K: s[2], RowScale: true, ColScale: true, Residual: true,
				A: matmul.Operand{Kind: matmul.Int8, AlongK: true}, B: matmul.Operand{Kind: matmul.Ternary, AlongK: true},
			}
			sources := map[string]shaders.Source{}
			for _, target := range []shaders.Target{shaders.GPU, shaders.CPU, shaders.CPUTable} {
				if mm.Target = target; target != shaders.CPUTable || a.Has(gpu.UniformTable) {
					sources[target.String()] = mm.Source()
				}
			}
			if src, ok := matrixSource(mm, UnitsOf(a)); ok {
				sources["matrix"] = src
			}
			mm.Target = shaders.GPU
			if packed := mm.PackedVariants(0); len(packed) > 0 && a.Has(gpu.PackedDot) {
				sources["packed"] = packed[0].Source()
			}
			for name, src := range sources {
				name = fmt.Sprintf("%v by %s on %s through %s", s, name, a.Name, a.Backend)
				got, _ := product(t, dev, mm, src, nil, nil)
				if first == nil {
					first, by = got, name
				}
				for i := range got {
					if math.Float32bits(got[i]) != math.Float32bits(first[i]) {
						t.Fatalf("c[%d] is %v by %s and %v by %s", i, got[i], name, first[i], by)
					}
				}
				t.Log(name)
			}
			dev.Close()
		}
	}
}

// Kernels for the shapes of GPUs that are not here compile as far as Dawn gets
// before it asks the adapter for the shape.
func TestForeignMatrixShapesCompile(t *testing.T) {
	onMatrixUnits(t, func(t *testing.T, dev *gpu.Device, own shaders.MatrixUnits) {
		for name, shapes := range map[string][]shaders.MatrixShape{
			"NVIDIA":        {{M: 16, N: 16, K: 16, Component: "f16", Result: "f32"}, {M: 16, N: 16, K: 32, Component: "i8", Result: "i32"}},
			"Intel":         {{M: 8, N: 16, K: 16, Component: "f16", Result: "f32"}, {M: 8, N: 16, K: 32, Component: "i8", Result: "i32"}},
			"AMD":           {{M: 16, N: 16, K: 16, Component: "f16", Result: "f32"}, {M: 16, N: 16, K: 16, Component: "i8", Result: "i32"}},
			"Apple, no int": {{M: 8, N: 8, K: 8, Component: "f16", Result: "f32"}},
		} {
			units := own
			units.Shapes = shapes
			for _, mm := range []matmul.Product{
				{A: matmul.Operand{Kind: matmul.Int8, AlongK: true}, B: matmul.Operand{Kind: matmul.Ternary, AlongK: true}, RowScale: true, ColScale: true, Residual: true},
				{A: matmul.Operand{Kind: matmul.Int8, AlongK: true}, B: matmul.Operand{Kind: matmul.Ternary}, RowScale: true, Accumulate: true},
				{A: matmul.Operand{Kind: matmul.Int8}, B: matmul.Operand{Kind: matmul.Int8}, RowScale: true, Accumulate: true},
				{A: matmul.Operand{Kind: matmul.F32, AlongK: true}, B: matmul.Operand{Kind: matmul.Ternary}, ScaleK: true},
				{A: matmul.Operand{Kind: matmul.F32}, B: matmul.Operand{Kind: matmul.Int8}, ScaleK: true, Accumulate: true},
			} {
				for _, s := range [][3]int{{64, 768, 768}, {4096, 768, 768}, {60, 100, 48}} {
					mm.M, mm.N, mm.K = s[0], s[1], s[2]
					src, ok := matrixSource(mm, units)
					require.True(t, ok, name)
					t.Run(name+" "+src.Label, func(t *testing.T) {
						access := make([]gpu.Access, len(src.Writes))
						for i, w := range src.Writes {
							if w {
								access[i] = gpu.ReadWrite
							}
						}
						_, err := dev.Kernel(src.Label, src.Code, access...)
						if err != nil {
							require.ErrorContains(t, err, "not supported by the device")
						}
					})
				}
			}
		}
	})
}

// matrixSource is the default of the kernels for matrix units, if there is one.
func matrixSource(mm matmul.Product, units shaders.MatrixUnits) (shaders.Source, bool) {
	all := mm.MatrixVariants(units)
	if len(all) == 0 {
		return shaders.Source{}, false
	}
	return all[0].Source(), true
}
