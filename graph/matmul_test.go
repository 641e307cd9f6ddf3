package graph

import (
	"fmt"
	"testing"

	"bitnet/gpu"
	"bitnet/shaders"
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
