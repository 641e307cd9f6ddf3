package graph

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu/gputest"
	"bitnet/shaders"
	"bitnet/shaders/attention"
)

// Heads of many features, and workgroups with little memory, have tiles of
// their own on a GPU.
func TestAttentionTiles(t *testing.T) {
	kernel := func(dim, memory int) attention.Causal {
		return attention.Causal{Target: shaders.GPU, Batch: 1, Seq: 35, Heads: 1, KVHeads: 1, HeadDim: dim, Memory: memory}
	}
	for _, c := range []struct {
		dim, memory int
		tiled       bool
	}{{64, 16 << 10, true}, {128, 16 << 10, false}, {128, 32 << 10, true}, {256, 48 << 10, true}, {1024, 64 << 10, false}} {
		require.Equal(t, c.tiled, kernel(c.dim, c.memory).DKV().Family == "attention/dkv_tiles", "heads of %d in %d bytes", c.dim, c.memory)
	}

	// 16 lanes a row, the last of which have one vector of two, and a column each.
	all, err := gputest.Devices()
	require.NoError(t, err)
	h := Heads{1, 1, 72}
	for _, dev := range all {
		t.Run(fmt.Sprintf("%s/%d", dev.Adapter().Name, h.Dim), func(t *testing.T) {
			op := trial{
				batch: 1, seq: 35, memory: 16 << 10,
				inputs: []matrix{random(1, 35, h.Features())}, dy: random(2, 35, h.Dim),
				build: func(g *Graph, x []*Tensor, _ []*Param) *Tensor { return g.Attention(x[0], h) },
			}
			want, got := op.run(t, dev, TargetOf(dev.Adapter())), op.run(t, dev, shaders.GPU)
			near(t, "o", want.y, got.y, exact32)
			near(t, "dqkv", want.dx[0], got.dx[0], 3*exact32)
		})
	}
}
