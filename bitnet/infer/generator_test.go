package infer

import (
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/model/modeltest"
	"bitnet/graph"
)

func TestGeneratorRefuses(t *testing.T) {
	ctx, dev := t.Context(), modeltest.Device(t)
	m := modeltest.Random(t, dev, modeltest.Tiny(32, 16), graph.TargetOf(dev.Adapter()))
	_, err := NewGenerator(m, 1, 17)
	require.ErrorContains(t, err, "context of 17")
	g, err := NewGenerator(m, 1, 16)
	require.NoError(t, err)
	defer g.Release()
	_, err = g.Feed(ctx, [][]uint32{{32}})
	require.ErrorContains(t, err, "vocabulary")
	_, err = g.Feed(ctx, [][]uint32{make([]uint32, 17)})
	require.ErrorContains(t, err, "do not fit")
	_, err = g.Feed(ctx, [][]uint32{{1}, {1}})
	require.ErrorContains(t, err, "2 sequences")
	_, err = g.Generate(ctx, [][]uint32{{}}, 1, 0, Greedy)
	require.ErrorContains(t, err, "prompt of 0")
	out, err := g.Generate(ctx, [][]uint32{make([]uint32, 10)}, 100, 99, Greedy)
	require.NoError(t, err)
	require.Len(t, out[0], 7, "6 tokens fill the context, one more needs no room")
}
