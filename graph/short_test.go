package graph

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/shaders"
)

// A large table is read in int8 for inference. The largest logits are those of
// float32 all the same, even where rows of the table are almost equal; the others
// are as near as the steps between codes allow.
func TestLogitsFromInt8(t *testing.T) {
	const vocab, hidden, tokens = 4096, 64, 9 // more tokens than one product takes
	rng := rand.New(rand.NewPCG(3, 4))
	table, inputs := make([]float32, vocab*hidden), make([]float32, tokens*hidden)
	for i := range table {
		if i/hidden%2 == 0 {
			table[i] = float32(rng.NormFloat64())
		} else { // the row before, a little different
			table[i] = table[i-hidden] + float32(1e-3*rng.NormFloat64())
		}
	}
	for i := range inputs {
		inputs[i] = float32(rng.NormFloat64())
	}
	want, rounded := make([]float64, tokens*vocab), make([]float64, tokens*vocab)
	bound := make([]float64, tokens*vocab)
	codes := make([]uint32, shaders.Words4(hidden))
	for v := range vocab {
		row := table[v*hidden:][:hidden]
		clear(codes)
		scale := float64(shortRow(codes, row))
		for m := range tokens {
			at := m*vocab + v
			for k, x := range inputs[m*hidden:][:hidden] {
				want[at] += float64(x) * float64(row[k])
				rounded[at] += float64(x) * scale * float64(int8(codes[k/4]>>(8*(k%4))))
				bound[at] += math.Abs(float64(x)) * scale * 0.502
			}
		}
	}
	largest := func(row []float64) int {
		best := 0
		for i, v := range row {
			if v > row[best] {
				best = i
			}
		}
		return best
	}
	wrong := 0
	for m := range tokens {
		if largest(rounded[m*vocab:][:vocab]) != largest(want[m*vocab:][:vocab]) {
			wrong++
		}
	}
	require.NotZero(t, wrong, "int8 alone finds the largest logits: the test shows nothing")

	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		n := tokens
		if foreign(dev, target) {
			n = 1
		}
		got := shortLogits(t, dev, target, table, inputs[:n*hidden], hidden)
		for m := range n {
			row := got[m*vocab:][:vocab]
			best := largest(want[m*vocab:][:vocab])
			require.Equal(t, best, largest(row), "token %d", m)
			require.InDelta(t, want[m*vocab+best], row[best], 1e-4)
			for v := range row {
				require.LessOrEqual(t, math.Abs(row[v]-want[m*vocab+v]), bound[m*vocab+v], "token %d, logit %d", m, v)
			}
		}
	})
}

// shortLogits are the logits of all inputs from a table for inference.
func shortLogits(t *testing.T, dev *gpu.Device, target shaders.Target, table, inputs []float32, hidden int) []float64 {
	ps := NewParams(target, LimitsOf(dev.Adapter()))
	head, rows := ps.Matrix("table", len(table)/hidden, hidden), ps.Matrix("inputs", len(inputs)/hidden, hidden)
	require.NoError(t, ps.Layout(ForInference))
	require.True(t, head.shortened())
	require.False(t, rows.shortened())
	require.EqualValues(t, len(table)+4*head.Rows, head.ReadBytes())
	require.EqualValues(t, 4*len(inputs), rows.ReadBytes())
	g := New(ps, 1, rows.Rows)
	g.Logits(g.Embedding(rows), head, rows.Rows, false)
	plan, err := g.PlanForward()
	require.NoError(t, err)
	require.NoError(t, ps.Allocate(dev))
	defer ps.Release()
	require.NoError(t, head.Write(Master, table))
	require.NoError(t, rows.Write(Master, inputs))
	p, err := plan.Compile(dev)
	require.NoError(t, err)
	defer p.Release()
	order := make([]uint32, rows.Rows)
	for i := range order {
		order[i] = uint32(i)
	}
	require.NoError(t, p.SetTokens(order))
	require.NoError(t, p.SetRows(order))
	require.NoError(t, p.MicroBatch())
	got := make([]float32, rows.Rows*head.Rows)
	require.NoError(t, p.Logits(got))
	return widen(got)
}
