package graph

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

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
	few       bool // whether it is one of those for kernels of a foreign layout
}

func gradientTable() []opRow {
	var rows []opRow
	few := false
	add := func(name string, c opTest, ref func([]matrix) []float64) {
		rows = append(rows, opRow{name, c, ref, 2e-5, few})
	}
	for i, s := range [][2]int{{1, 1}, {3, 37}, {37, 3}, {5, 64}, {70, 20}, {20, 300}, {9, 333}} {
		seed := uint64(100 * i)
		tokens, width := s[0], s[1]
		few = i >= 5 // wider than the invocations of a workgroup
		for _, residual := range []bool{false, true} {
			add(fmt.Sprintf("norm %dx%d add=%v", tokens, width, residual), opTest{
				batch: 1, seq: tokens, residual: residual,
				inputs: []matrix{random(seed+1, tokens, width)},
				params: []matrix{random(seed+2, 1, width)},
				dy:     random(seed+3, tokens, width),
				build: func(g *Graph, x []*Tensor, p []*Param) *Tensor {
					return g.RMSNorm(x[0], p[0], 1e-5)
				},
			}, func(in []matrix) []float64 { return normReference(in[0], in[1], 1e-5) })
		}
		for _, act := range []Activation{SiLU, Relu2} {
			add(fmt.Sprintf("glu+norm %dx%d act=%d", tokens, width, act), opTest{
				batch: 1, seq: tokens, residual: act == Relu2,
				inputs: []matrix{random(seed+4, tokens, 2*width)},
				params: []matrix{random(seed+6, 1, width)},
				dy:     random(seed+5, tokens, width),
				build: func(g *Graph, x []*Tensor, p []*Param) *Tensor {
					return g.norm("glu+norm", x[0], p[0], gated(x[0], act, 1e-5))
				},
			}, func(in []matrix) []float64 {
				return normReference(matrix{tokens, width, gluReference(in[0], act)}, in[1], 1e-5)
			})
		}
	}
	few = false // the golden values have odd and regular ones
	for i, s := range []struct {
		batch, seq int
		h          Heads
	}{
		{1, 1, Heads{1, 1, 4}}, {2, 3, Heads{2, 2, 8}}, {1, 37, Heads{3, 1, 4}}, {2, 9, Heads{6, 2, 12}}, {1, 70, Heads{2, 1, 16}}, {1, 150, Heads{4, 2, 8}},
	} {
		seed := uint64(1000 + 100*i)
		tokens := s.batch * s.seq
		add(fmt.Sprintf("attention %dx%d %v", s.batch, s.seq, s.h), opTest{
			batch: s.batch, seq: s.seq,
			inputs: []matrix{random(seed+1, tokens, s.h.Features())},
			dy:     random(seed+2, tokens, s.h.Query*s.h.Dim),
			build:  func(g *Graph, x []*Tensor, _ []*Param) *Tensor { return g.Attention(x[0], s.h) },
		}, func(in []matrix) []float64 { return attentionReference(in[0], s.batch, s.seq, s.h) })
	}
	return rows
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

func normReference(x, w matrix, eps float64) []float64 {
	y := make([]float64, len(x.v))
	for t := range x.rows {
		row := x.v[t*x.cols:][:x.cols]
		sum := 0.0
		for _, v := range row {
			sum += v * v
		}
		r := 1 / math.Sqrt(sum/float64(x.cols)+eps)
		for i, v := range row {
			y[t*x.cols+i] = v * r * w.v[i]
		}
	}
	return y
}

func gluReference(gu matrix, act Activation) []float64 {
	f := gu.cols / 2
	y := make([]float64, gu.rows*f)
	for t := range gu.rows {
		for i := range f {
			g, u := gu.v[t*gu.cols+i], gu.v[t*gu.cols+f+i]
			if act == Relu2 {
				g = max(g, 0) * max(g, 0)
			} else {
				g /= 1 + math.Exp(-g)
			}
			y[t*f+i] = g * u
		}
	}
	return y
}

func attentionReference(qkv matrix, batch, seq int, h Heads) []float64 {
	o := make([]float64, batch*seq*h.Query*h.Dim)
	at := func(b, t, head int) []float64 { return qkv.v[(b*seq+t)*qkv.cols+head*h.Dim:][:h.Dim] }
	for b := range batch {
		for n := range h.Query {
			kv := n / (h.Query / h.KV)
			for t := range seq {
				q := at(b, t, n)
				p := make([]float64, t+1)
				sum := 0.0
				for j := range p {
					for i, k := range at(b, j, h.Query+kv) {
						p[j] += q[i] * k
					}
					p[j] = math.Exp(p[j] / math.Sqrt(float64(h.Dim)))
					sum += p[j]
				}
				out := o[((b*seq+t)*h.Query+n)*h.Dim:][:h.Dim]
				for j := range p {
					for i, v := range at(b, j, h.Query+h.KV+kv) {
						out[i] += p[j] / sum * v
					}
				}
			}
		}
	}
	return o
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
