package graph

import (
	"math"
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
		const tokens, hidden, vocab = 150, 12, 37
		x, table := random(1, tokens, hidden), random(2, vocab, hidden)
		targets := make([]uint32, tokens)
		counted := 0.0
		for i := range targets {
			targets[i] = uint32(i*7) % vocab
			if i%5 == 0 {
				targets[i] = math.MaxUint32
			} else {
				counted++
			}
		}
		ref := func(in []matrix) []float64 { return headReference(in[0], in[1], targets) }
		require.Equal(t, 64, headRows(tokens, vocab, 4*vocab*100))
		c := opTest{batch: 1, seq: tokens, inputs: []matrix{x}, params: []matrix{table}, targets: targets,
			build: func(g *Graph, x []*Tensor, p []*Param) *Tensor {
				g.params.Limits.Binding = 4 * vocab * 100
				g.Loss(x[0], p[0])
				return nil
			}}
		got := c.run(t, dev, target)
		want := ref([]matrix{x, table})
		near(t, "losses", want, got.y, 2e-5)
		mean := make([]float64, tokens)
		sum := 0.0
		for i := range mean {
			mean[i] = 1 / counted
			sum += want[i] / counted
		}
		near(t, "loss", []float64{sum}, got.loss, 1e-5)
		compareDifferences(t, "dx", ref, []matrix{x, table}, 0, mean, got.dx[0], 1e-4)
		compareDifferences(t, "dtable", ref, []matrix{x, table}, 1, mean, got.dp[0], 1e-4)
	})
}

func headReference(x, table matrix, targets []uint32) []float64 {
	loss := make([]float64, x.rows)
	for t := range x.rows {
		if targets[t] == math.MaxUint32 {
			continue
		}
		logits := make([]float64, table.rows)
		sum := 0.0
		for v := range logits {
			for i := range x.cols {
				logits[v] += x.v[t*x.cols+i] * table.v[v*x.cols+i]
			}
			sum += math.Exp(logits[v])
		}
		loss[t] = math.Log(sum) - logits[targets[t]]
	}
	return loss
}
