package graph

import "fmt"

// embeddingRows look up tokens of which some come several times and some never.
func embeddingRows() (rows []opRow) {
	for i, s := range [][3]int{{2, 3, 1}, {37, 5, 70}, {9, 300, 20}} {
		vocab, width, tokens := s[0], s[1], s[2]
		ids := make([]uint32, tokens)
		for t := range ids {
			ids[t] = uint32(t*t*5+t) % uint32(vocab)
		}
		seed := uint64(3000 + 100*i)
		rows = append(rows, opRow{fmt.Sprintf("embedding %dx%d of %d tokens", vocab, width, tokens), opTest{
			batch: 1, seq: tokens, tokens: ids,
			params: []matrix{random(seed+1, vocab, width)},
			dy:     random(seed+2, tokens, width),
			build:  func(g *Graph, _ []*Tensor, p []*Param) *Tensor { return g.Embedding(p[0]) },
		}, func(in []matrix) (y []float64) {
			for _, id := range ids {
				y = append(y, in[0].v[int(id)*width:][:width]...)
			}
			return y
		}, 2e-5, i == 2})
	}
	return rows
}
