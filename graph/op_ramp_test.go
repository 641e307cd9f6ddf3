package graph

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/shaders"
)

// Layers that are quantised gradually, against float64.
func TestRamp(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		shapes := rampShapes
		if foreign(dev, target) {
			shapes = shapes[1:2]
		}
		for _, s := range shapes {
			var v verdict
			require.NoError(t, checkRamp(dev, target, s, &v))
			require.NoError(t, v.err)
		}
	})
}

// At the end of the ramp a layer computes what BitLinear does, in float32. At its
// beginning its gradients are those of finite differences.
func TestRampEnds(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		if foreign(dev, target) {
			t.Skip("TestRamp has these kernels")
		}
		c := rampTrial(rampShapes[2], 1)
		got := c.run(t, dev, target)
		c.build = func(g *Graph, x []*Tensor, p []*Param) *Tensor { return g.BitLinear(g.Quantize(x[0]), p[0], nil) }
		want := c.run(t, dev, target)
		near(t, "y", want.y, got.y, exact32)
		near(t, "dx", want.dx[0], got.dx[0], exact32)
		near(t, "dw", want.dp[0], got.dp[0], exact32)

		c = rampTrial(rampShapes[2], 0)
		got = c.run(t, dev, target)
		product := func(in []matrix) []float64 { return logitsReference(in[0], in[1]).v }
		in := slices.Concat(c.inputs, c.params)
		near(t, "y", product(in), got.y, exact32)
		compareDifferences(t, "dx", product, in, 0, c.dy.v, got.dx[0], 1e-5)
		compareDifferences(t, "dw", product, in, 1, c.dy.v, got.dp[0], 1e-5)
	})
}
