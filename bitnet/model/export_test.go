package model

import "bitnet/graph"

// PlanLogits plans the forward pass of the training graph over a sequence, with
// the logits of every position.
func (m *Model) PlanLogits(seq int) (*graph.Plan, error) {
	g := graph.New(m.Params, 1, seq)
	g.Logits(m.forward(g), m.embed, seq, false)
	return g.PlanForward()
}
