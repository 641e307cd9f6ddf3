package graph

import (
	"math"

	"bitnet/shaders/loss"
	"bitnet/shaders/matmul"
)

// Teacher is a model whose logits a loss is drawn to. Its operations are declared by
// Graph.Beside, over the tokens of the same micro-batch.
type Teacher struct {
	X           *Tensor // its last hidden state, [tokens, its own hidden]
	Table       *Param  // of its output, [vocab, its own hidden]
	Weight      float64 // of the divergence, above 0 and at most 1; the loss has the rest
	Temperature float64 // that both logits are divided by
}

// DistilledLoss is Loss for training with a teacher. The gradient is that of the mean of
//
//	(1 - weight) loss[t] + weight temperature^2 KL(softmax(teacher / temperature) || softmax(logits / temperature))
//
// over the same positions (Hinton et al., Distilling the Knowledge in a Neural Network,
// arXiv 1503.02531). Both parts are recorded apart: Params.RecordDivergence.
func (g *Graph) DistilledLoss(x *Tensor, table *Param, teacher Teacher) {
	switch {
	case teacher.X.Rows != x.Rows || teacher.Table.Rows != table.Rows || teacher.X.Cols != teacher.Table.Cols:
		g.fail("a teacher with logits [%d, %d] for a model with logits [%d, %d]", teacher.X.Rows, teacher.Table.Rows, x.Rows, table.Rows)
	case !(teacher.Weight > 0 && teacher.Weight <= 1) || !(teacher.Temperature > 0) || math.IsInf(teacher.Temperature, 0):
		g.fail("a teacher of weight %g and temperature %g: the weight lies above 0 and is at most 1, the temperature is positive", teacher.Weight, teacher.Temperature)
	case !g.params.divergence:
		g.fail("the parameters have no room for the divergence from a teacher: call RecordDivergence before Layout")
	}
	g.divergence = g.input("divergences", F32, x.Rows, 1)
	g.declareLoss(x, table, &teacher)
}

// distill computes loss, divergence and the gradient of the logits of n rows from row
// first on: rows are those of the logits, targets and losses those of the positions.
func (e *emitter) distill(g *Graph, t *Teacher, first, n int, logits, targets, losses arg) {
	e.inOneBinding(t.Table)
	part := tensor("teacher logits", F32, logits.t.Rows, logits.t.Cols)
	along := matmul.Operand{Kind: matmul.F32, AlongK: true}
	e.unroundedRows(matmul.Product{M: n, N: t.Table.Rows, K: t.Table.Cols, A: along, B: along},
		arg{t.X, first, n}, whole(t.Table.master), arg{part, 0, n})
	k := loss.Distill{Target: e.target, Rows: n, Vocab: t.Table.Rows, Weight: float32(t.Weight), Temperature: float32(t.Temperature)}
	e.runRows(k.Source(), logits, arg{part, 0, n}, targets, losses, arg{g.divergence, first, n}, whole(g.params.step))
}
