package graph

import "bitnet/shaders/embedding"

// Embedding looks the batch's tokens up in table [vocab, hidden]:
// y[t] = table[token t], [tokens, hidden].
func (g *Graph) Embedding(table *Param) *Tensor {
	y := tensor("embedding", F32, g.Tokens(), table.Cols)
	lookup := func(b *Param) embedding.Lookup {
		k := embedding.Lookup{Target: g.params.Target, Tokens: g.Tokens(), Width: table.Cols}
		if b != table {
			k.First, k.Rows = b.first, b.Rows
		}
		return k
	}
	g.add("embedding", func(e *emitter) {
		for _, b := range table.stored() {
			e.run(lookup(b).Source(), g.tokens, b.master, y)
		}
	}, func(e *emitter) {
		if table.frozen {
			return
		}
		for _, b := range table.stored() {
			e.run(embedding.Backward(lookup(b)).Source(), g.tokens, g.order, e.grad(y), b.grad)
		}
	})
	return y
}
