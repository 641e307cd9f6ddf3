package graph

import (
	"fmt"
	"slices"
	"testing"

	"bitnet/gpu"
	"bitnet/shaders"
)

// opRow is one operation's row in the table of the gradient test: how to
// build it, and its float64 reference over the inputs and then the parameters.
type opRow struct {
	name      string
	test      opTest
	reference func(in []matrix) []float64
	tolerance float64
	few       bool // whether it is also for kernels of a foreign layout
}

func gradientTable() []opRow {
	return slices.Concat(embeddingRows(), normRows(), ropeRows(), attentionRows(), documentRows())
}

func TestGradientsAgainstFiniteDifferences(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		for _, row := range gradientTable() {
			if foreign(dev, target) && !row.few {
				continue
			}
			t.Run(row.name, func(t *testing.T) {
				got := row.test.run(t, dev, target)
				in := append(append([]matrix(nil), row.test.inputs...), row.test.params...)
				near(t, "y", row.reference(in), got.y, row.tolerance)
				for i := range row.test.inputs {
					compareDifferences(t, fmt.Sprintf("dx%d", i), row.reference, in, i, row.test.dy.v, got.dx[i], 10*row.tolerance)
				}
				for i := range row.test.params {
					at := len(row.test.inputs) + i
					compareDifferences(t, fmt.Sprintf("dp%d", i), row.reference, in, at, row.test.dy.v, got.dp[i], 10*row.tolerance)
				}
			})
		}
	})
}
