package graph

import (
	"fmt"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu/gputest"
	"bitnet/shaders"
	"bitnet/shaders/attention"
)

// Odd and regular shapes for foreign layouts are in the golden values.
func attentionRows() (rows []opRow) {
	for i, s := range []struct {
		batch, seq int
		h          Heads
	}{
		{1, 1, Heads{1, 1, 4}}, {2, 3, Heads{2, 2, 8}}, {1, 37, Heads{3, 1, 4}}, {2, 9, Heads{6, 2, 12}}, {1, 70, Heads{2, 1, 16}}, {1, 150, Heads{4, 2, 8}},
	} {
		seed := uint64(1000 + 100*i)
		tokens := s.batch * s.seq
		rows = append(rows, opRow{fmt.Sprintf("attention %dx%d %v", s.batch, s.seq, s.h), opTest{
			batch: s.batch, seq: s.seq,
			inputs: []matrix{random(seed+1, tokens, s.h.Features())},
			dy:     random(seed+2, tokens, s.h.Query*s.h.Dim),
			build:  func(g *Graph, x []*Tensor, _ []*Param) *Tensor { return g.Attention(x[0], s.h) },
		}, func(in []matrix) []float64 { return attentionReference(in[0], s.batch, s.seq, s.h) }, 2e-5, false})
	}
	return rows
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

// ropeRows rotate in place, so the input is the result as well.
func ropeRows() (rows []opRow) {
	for i, s := range []struct {
		batch, seq int
		h          Heads
		theta      float64
	}{
		{1, 1, Heads{1, 1, 4}, 10000}, {2, 3, Heads{2, 2, 8}, 500000}, {1, 37, Heads{3, 1, 12}, 10000},
	} {
		seed := uint64(2000 + 100*i)
		tokens := s.batch * s.seq
		rows = append(rows, opRow{fmt.Sprintf("rope %dx%d %v", s.batch, s.seq, s.h), opTest{
			batch: s.batch, seq: s.seq,
			inputs: []matrix{random(seed+1, tokens, s.h.Features())},
			dy:     random(seed+2, tokens, s.h.Features()),
			build:  func(g *Graph, x []*Tensor, _ []*Param) *Tensor { return g.Rope(x[0], s.h, s.theta) },
		}, func(in []matrix) []float64 { return ropeReference(in[0], s.seq, s.h, s.theta) }, 2e-5, i == 2})
	}
	return rows
}

// ropeReference rotates queries and keys and leaves the values.
func ropeReference(qkv matrix, seq int, h Heads, theta float64) []float64 {
	y := append([]float64(nil), qkv.v...)
	for t := range qkv.rows {
		for head := range h.Query + h.KV {
			row := y[t*qkv.cols+head*h.Dim:][:h.Dim]
			for i := range h.Dim / 2 {
				sin, cos := math.Sincos(float64(t%seq) * math.Pow(theta, -2*float64(i)/float64(h.Dim)))
				a, b := row[i], row[i+h.Dim/2]
				row[i], row[i+h.Dim/2] = a*cos-b*sin, b*cos+a*sin
			}
		}
	}
	return y
}

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
			op := opTest{
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
