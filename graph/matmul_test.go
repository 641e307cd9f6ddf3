package graph

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/shaders"
	"bitnet/shaders/matmul"
)

// Every product that the model has, in shapes that fit the tiles and that do not.
func TestMatMul(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		shapes := [][3]int{{20, 80, 528}, {5, 7, 9}, {1, 37, 48}, {8, 130, 1040}}
		if foreign(dev, target) {
			shapes = shapes[:2]
		}
		for _, s := range shapes {
			for _, mm := range modelProducts {
				mm.Target, mm.M, mm.N, mm.K = target, s[0], s[1], s[2]
				src := mm.Source()
				t.Run(fmt.Sprintf("%s %v", src.Label, mm.Residual), func(t *testing.T) {
					got, want := product(t, dev, mm, src, nil, nil)
					near(t, "c", want, widen(got), exact32)
				})
			}
		}
	})
}

// The layouts of large products, in shapes that are too small to have them by default.
func TestLargeLayouts(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		if target != shaders.CPUTable {
			t.Skip("only the uniform table has these layouts")
		}
		for _, c := range []struct {
			mm     matmul.Product
			layout string
		}{
			{matmul.Product{M: 69, N: 112, K: 528, A: int8Rows, B: ternRows, RowScale: true, ColScale: true, Residual: true}, "table 32x4, 16 lanes"},
			{matmul.Product{M: 37, N: 272, K: 528, A: int8Rows, B: ternCols, RowScale: true, Accumulate: true}, "table 16x16, 16 lanes"},
			{matmul.Product{M: 140, N: 76, K: 36, A: floatCols, B: floatCols, Accumulate: true}, "table 64x4, 16 lanes"},
		} {
			c.mm.Target = target
			variants := c.mm.Variants(0)
			at := slices.IndexFunc(variants, func(v shaders.Variant) bool { return v.Name == c.layout })
			require.GreaterOrEqual(t, at, 0, c.layout)
			got, want := product(t, dev, c.mm, variants[at].Source(), nil, nil)
			near(t, "c", want, widen(got), exact32)

			large := c.mm
			large.M, large.N, large.K = 512, 768, 3072
			require.Equal(t, c.layout, large.Source().Variant)
		}
	})
}
