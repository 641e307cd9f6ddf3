package graph

import (
	"testing"

	"bitnet/gpu"
	"bitnet/shaders"

	"github.com/stretchr/testify/require"
)

func TestGradientsAgainstFiniteDifferences(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		for _, row := range append(gradientTable(), documentRows()...) {
			if foreign(dev, target) && !row.few {
				continue
			}
			t.Run(row.name, func(t *testing.T) {
				var v verdict
				require.NoError(t, row.check(dev, target, &v))
				require.NoError(t, v.err)
			})
		}
	})
}
