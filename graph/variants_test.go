package graph

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/shaders"
	"bitnet/shaders/matmul"
)

// Every variant computes its product; TestMatMul has all products in the
// defaults. Compiling takes its time on a CPU: there the kernels of a GPU are
// given plain floats, and only a few of them are tested unless BITNET_VARIANTS
// is all.
func TestVariants(t *testing.T) {
	products := []matmul.Product{
		{A: int8Rows, B: ternRows, RowScale: true, ColScale: true, Residual: true},
		{A: floatRows, B: ternCols, ScaleK: true},
		{A: floatCols, B: int8Cols, ScaleK: true, Accumulate: true},
		{A: floatRows, B: floatRows},
	}
	shapes := [][3]int{{68, 112, 80}, {132, 72, 36}, {40, 160, 48}} // not multiples of the tiles
	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		products, every := products, 1
		if target == shaders.GPU && foreign(dev, target) {
			products, every = products[3:], 6
		}
		type kernel struct {
			mm matmul.Product
			shaders.Variant
		}
		var names []string
		all := map[string][]kernel{}
		for i := range len(products) * len(shapes) {
			mm, s := products[i%len(products)], shapes[i%len(shapes)]
			mm.Target, mm.M, mm.N, mm.K = target, s[0], s[1], s[2]
			for _, v := range mm.Variants(UnitsOf(dev.Adapter()).WorkgroupMemory) {
				if all[v.Name] == nil {
					names = append(names, v.Name)
				}
				all[v.Name] = append(all[v.Name], kernel{mm, v})
			}
		}
		require.Greater(t, len(names), 3)
		for i := 0; i < len(names); i += every {
			k := all[names[i]][i%len(all[names[i]])]
			src := k.Source()
			require.Equal(t, names[i], src.Variant)
			t.Run(src.Variant+" "+src.Label, func(t *testing.T) {
				got, want := product(t, dev, k.mm, src, nil, nil)
				near(t, "c", want, widen(got), exact32)
			})
		}
	})
}

func TestVariantsOnMatrixUnits(t *testing.T) {
	onMatrixUnits(t, func(t *testing.T, dev *gpu.Device, units shaders.MatrixUnits) {
		every := 4
		if dev.Adapter().Kind != gpu.CPU || os.Getenv("BITNET_VARIANTS") == "all" {
			every = 1
		}
		for i, mm := range []matmul.Product{
			{A: int8Rows, B: ternRows, RowScale: true, ColScale: true, Residual: true},
			{A: floatRows, B: ternCols, ScaleK: true, Gain: 16},
			{A: floatCols, B: int8Cols, ScaleK: true, Accumulate: true},
		} {
			s := matrixShapes[i]
			mm.Target, mm.M, mm.N, mm.K = shaders.GPU, 2*s[0], s[1], s[2]
			variants := mm.MatrixVariants(units)
			require.NotEmpty(t, variants)
			if dev.Adapter().Has(gpu.PackedDot) {
				variants = append(variants, mm.PackedVariants(units.WorkgroupMemory)...)
			}
			for j := i; j < len(variants); j += every {
				src := variants[j].Source()
				t.Run(src.Variant+" "+src.Label, func(t *testing.T) {
					small := func(v float64) float64 { return coarse(v) / float64(max(mm.Gain, 1)) }
					got, want := product(t, dev, mm, src, small, power)
					near(t, "c", want, widen(got), exact32)
				})
			}
		}
	})
}

// No variant needs more than WebGPU guarantees, or than an adapter says it has.
func TestVariantsFitLimits(t *testing.T) {
	for _, mm := range []matmul.Product{
		{M: 4096, N: 768, K: 768, A: int8Rows, B: ternRows}, {M: 60, N: 32000, K: 256, A: floatRows, B: floatRows}, {M: 1 << 21, N: 64, K: 64, A: floatRows, B: floatRows},
	} {
		names := map[string]bool{}
		for _, v := range append(mm.Variants(0), mm.PackedVariants(0)...) {
			require.False(t, names[v.Name], v.Name)
			names[v.Name] = true
			var m, n, k, rm, rn int
			_, err := fmt.Sscanf(strings.TrimPrefix(v.Name, "packed, "), "tiles %dx%dx%d, %dx%d sums", &m, &n, &k, &rm, &rn)
			require.NoError(t, err)
			require.LessOrEqual(t, m/rm*(n/rn), 256, v.Name)
			src := v.Source()
			require.LessOrEqual(t, max(src.Groups[0], src.Groups[1]), uint32(65535), v.Name)
		}
		if mm.M == 4096 {
			require.Greater(t, len(mm.Variants(32<<10)), len(mm.Variants(0)))
		}
	}
}
