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

// A short prompt of one text takes a short pass; of several texts, all take the same.
func TestChunksOfPrompts(t *testing.T) {
	for _, c := range []struct{ n, context, left, want int }{
		{1, 256, 2, 8}, {1, 256, 9, 8}, {1, 256, 16, 8}, {1, 256, 17, 32}, {1, 256, 64, 32}, {1, 256, 65, 128}, {1, 256, 500, 128},
		{1, 20, 20, 20}, {1, 4, 3, 4}, {2, 256, 3, 128}, {8, 256, 3, 64}, {8, 32, 3, 32}, {100, 256, 3, 8},
	} {
		require.Equal(t, c.want, chunk(c.n, c.context, c.left), c)
	}
}

// What a text continues with does not depend on how its prompt is cut up.
func TestPromptInParts(t *testing.T) {
	ctx, dev := t.Context(), modeltest.Device(t)
	m := modeltest.Random(t, dev, modeltest.Tiny(32, 64), graph.TargetOf(dev.Adapter()))
	prompt := make([]uint32, 43) // 32, 8 and 3 tokens
	for i := range prompt {
		prompt[i] = uint32(7*i+3) % 32
	}
	logits := func(parts ...int) []float32 {
		g, err := newGenerator(m, 1, 64)
		require.NoError(t, err)
		defer g.Release()
		var out [][]float32
		for at := 0; at < len(prompt); {
			for _, n := range parts {
				n = min(n, len(prompt)-at)
				if n == 0 {
					break
				}
				out, err = g.Feed(ctx, [][]uint32{prompt[at : at+n]})
				require.NoError(t, err)
				at += n
			}
		}
		require.Equal(t, len(prompt), g.Len(0))
		return append([]float32(nil), out[0]...)
	}
	want := logits(1)
	for _, parts := range [][]int{{43}, {8}, {20, 1, 5}} {
		got := logits(parts...)
		for i := range want {
			require.InDelta(t, want[i], got[i], 1e-4, "%v", parts)
		}
	}
}
