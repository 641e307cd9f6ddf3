package graph

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/gpu/gputest"
	"bitnet/shaders"
)

// begins are the begins of documents in rows of seq tokens: lengths has the
// lengths of the documents of each row, which the last fills up.
func begins(seq int, lengths ...[]int) []uint32 {
	var out []uint32
	for _, row := range lengths {
		begin := 0
		for i := 0; i <= len(row); i++ {
			end := seq
			if i < len(row) {
				end = begin + row[i]
			}
			for range end - begin {
				out = append(out, uint32(begin))
			}
			begin = end
		}
	}
	return out
}

// documentRows are attention and rope over packed rows. The reference takes every
// document out of its row and computes it alone.
func documentRows() (rows []trialRow) {
	for i, s := range []struct {
		seq     int
		h       Heads
		lengths [][]int
		few     bool
	}{
		{1, Heads{1, 1, 4}, [][]int{nil}, false},
		{9, Heads{6, 2, 12}, [][]int{{4}, {1, 1, 6}}, true},
		{37, Heads{3, 1, 4}, [][]int{{1, 16, 3}, {36}, nil}, false},
		{70, Heads{2, 1, 16}, [][]int{{33, 31}}, false},
		{150, Heads{4, 2, 8}, [][]int{{5, 60, 3, 50}, {128}}, false},
		{131, Heads{2, 2, 8}, [][]int{{64, 64}}, true},
	} {
		seed, batch := uint64(5000+100*i), len(s.lengths)
		at := begins(s.seq, s.lengths...)
		op := func(build func(g *Graph, x *Tensor) *Tensor, out int) trial {
			return trial{
				batch: batch, seq: s.seq, begins: at,
				inputs: []matrix{random(seed+1, batch*s.seq, s.h.Features())}, dy: random(seed+2, batch*s.seq, out),
				build: func(g *Graph, x []*Tensor, _ []*Param) *Tensor { return build(g, x[0]) },
			}
		}
		name := fmt.Sprintf("%dx%d %v", batch, s.seq, s.h)
		rows = append(rows,
			trialRow{"attention of documents " + name, op(func(g *Graph, x *Tensor) *Tensor { return g.Attention(x, s.h) }, s.h.Query*s.h.Dim), func(in []matrix) []float64 {
				return eachDocument(in[0], at, s.seq, func(m matrix) []float64 { return attentionReference(m, 1, m.rows, s.h) })
			}, 2e-5, s.few},
			trialRow{"rope of documents " + name, op(func(g *Graph, x *Tensor) *Tensor { return g.Rope(x, s.h, 10000) }, s.h.Features()), func(in []matrix) []float64 {
				return eachDocument(in[0], at, s.seq, func(m matrix) []float64 { return ropeReference(m, m.rows, s.h, 10000) })
			}, 2e-5, s.few})
	}
	return rows
}

// eachDocument computes f over the rows of each document by itself.
func eachDocument(x matrix, begins []uint32, seq int, f func(matrix) []float64) (out []float64) {
	for first := 0; first < x.rows; {
		end := first + 1
		for end < x.rows && end%seq != 0 && begins[end] == begins[first] {
			end++
		}
		out = append(out, f(matrix{end - first, x.cols, x.v[first*x.cols : end*x.cols]})...)
		first = end
	}
	return out
}

// The kernels for GPUs and those for lavapipe find the same on rows of many tiles.
func TestAttentionOfDocumentsInTiles(t *testing.T) {
	all, err := gputest.Devices()
	require.NoError(t, err)
	h := Heads{2, 1, 72}
	for _, dev := range all {
		t.Run(dev.Adapter().Name, func(t *testing.T) {
			op := trial{
				batch: 2, seq: 140, memory: 16 << 10, begins: begins(140, []int{3, 70, 2, 30}, []int{100}),
				inputs: []matrix{random(1, 280, h.Features())}, dy: random(2, 280, 2*h.Dim),
				build: func(g *Graph, x []*Tensor, _ []*Param) *Tensor { return g.Attention(x[0], h) },
			}
			want := eachDocument(op.inputs[0], op.begins, op.seq, func(m matrix) []float64 { return attentionReference(m, 1, m.rows, h) })
			for _, target := range []shaders.Target{TargetOf(dev.Adapter()), shaders.GPU} {
				near(t, "o", want, op.run(t, dev, target).y, 2e-5)
			}
			near(t, "dqkv", op.run(t, dev, TargetOf(dev.Adapter())).dx[0], op.run(t, dev, shaders.GPU).dx[0], 3*exact32)
		})
	}
}

// One document a row is what a graph of whole rows computes, to the bit.
func TestOneDocumentARow(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		if foreign(dev, target) {
			return
		}
		h := Heads{4, 2, 8}
		op := trial{
			batch: 2, seq: 33, inputs: []matrix{random(1, 66, h.Features())}, dy: random(2, 66, h.Query*h.Dim),
			build: func(g *Graph, x []*Tensor, _ []*Param) *Tensor { return g.Attention(g.Rope(x[0], h, 10000), h) },
		}
		whole := op.run(t, dev, target)
		op.begins = begins(33, nil, nil)
		packed := op.run(t, dev, target)
		require.Equal(t, whole.y, packed.y)
		require.Equal(t, whole.dx, packed.dx)
	})
}

func TestPackedRowsAreChecked(t *testing.T) {
	for _, c := range []struct {
		begins []uint32
		want   string
	}{
		{[]uint32{0, 0, 2}, "begins of the documents of 3 tokens"},
		{[]uint32{0, 0, 2, 2}, ""},
		{[]uint32{0, 0, 1, 1}, "token 2 of row 0"},
		{[]uint32{1, 1, 1, 1}, "token 0 of row 0"},
		{[]uint32{0, 9, 2, 3}, "token 1 of row 0"},
	} {
		err := checkBegins(c.begins, 4, 4)
		if c.want == "" {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, c.want)
	}
	require.ErrorContains(t, checkBegins([]uint32{0, 0, 1, 1}, 4, 2), "token 0 of row 1")
}
