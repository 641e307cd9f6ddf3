package graph

import "bitnet/shaders/embedding"

// Embedding looks the batch's tokens up in table [vocab, hidden]:
// y[t] = table[token t], [tokens, hidden].
func (g *Graph) Embedding(table *Param) *Tensor {
	y := tensor("embedding", F32, g.Tokens(), table.Cols)
	k := embedding.Lookup{Target: g.params.Target, Tokens: g.Tokens(), Width: table.Cols}
	g.add("embedding", func(e *emitter) {
		e.run(k.Source(), g.tokens, table.master, y)
	}, func(e *emitter) {
		if table.frozen {
			return
		}
		e.run(embedding.Backward(k).Source(), g.tokens, g.order, e.grad(y), table.grad)
	})
	return y
}
