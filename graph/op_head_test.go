package graph

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/shaders"
)

// A head whose rows are cut into several blocks, one of them short.
func TestHeadInBlocks(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		if foreign(dev, target) {
			t.Skip("the blocks are the same for every layout")
		}
		for _, split := range []bool{false, true} {
			c, _ := headTrial(split)
			vocab := c.params[0].rows
			require.Equal(t, 64, headRows(c.seq, vocab, int64(4*vocab*100)))
			var v verdict
			require.NoError(t, checkHead(dev, target, split, &v))
			require.NoError(t, v.err)
			require.Equal(t, split, slices.Contains(v.families, "loss/blocks_gradient"))
		}
	})
}

// A head with a teacher, in the same blocks.
func TestDistilledHeadInBlocks(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		if foreign(dev, target) {
			t.Skip("the blocks are the same for every layout")
		}
		var v verdict
		require.NoError(t, checkDistilled(dev, target, &v))
		require.NoError(t, v.err)
	})
}

func TestBeside(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		shapes := besideShapes
		if foreign(dev, target) {
			shapes = shapes[1:2]
		}
		var v verdict
		require.NoError(t, checkBeside(dev, target, &v, shapes...))
		require.NoError(t, v.err)
	})
}
