package graph

import (
	"bitnet/shaders/loss"
	"bitnet/shaders/matmul"
)

// lossByBlocks emits Loss with a table in several blocks: some columns of the logits for
// each. The losses of some rows are known once all of their columns were summed; then the
// gradient of each block of columns is computed and multiplied.
func (g *Graph) lossByBlocks(e *emitter, x *Tensor, table *Param) {
	rows := headRows(x.Rows, table.Rows, logitsBytes)
	rows = min(rows, headRows(x.Rows, table.blocks[0].Rows, e.limits.Binding)) // the first block is the largest
	h := headByBlocks{g: g, x: x, table: table, sums: tensor("sums of exponentials", F32, rows, 3)}
	for _, b := range table.blocks {
		h.logits = append(h.logits, tensor("logits", F32, rows, b.Rows))
	}
	if e.training {
		h.dx, _ = e.gradOut(x)
	}
	for first := 0; first < x.Rows; first += rows {
		h.first, h.rows = first, min(rows, x.Rows-first)
		h.losses(e)
		if e.training {
			h.gradients(e)
		}
	}
	g.gatherLoss(e)
}

// headByBlocks is the head of some rows.
type headByBlocks struct {
	g           *Graph
	x, dx       *Tensor
	table       *Param
	logits      []*Tensor // by block of the table
	sums        *Tensor   // loss.Block
	first, rows int
}

// of are the rows in a tensor of all of them.
func (h *headByBlocks) of(t *Tensor) arg { return arg{t, h.first, h.rows} }

// top are the rows in a tensor that has no more.
func (h *headByBlocks) top(t *Tensor) arg { return arg{t, 0, h.rows} }

// kernel is the loss over one block of the logits.
func (h *headByBlocks) kernel(e *emitter, i int) loss.Block {
	b := h.table.blocks[i]
	return loss.Block{Target: e.target, Rows: h.rows, Vocab: b.Rows, At: b.first, Last: i == len(h.table.blocks)-1}
}

func (h *headByBlocks) losses(e *emitter) {
	along := matmul.Operand{Kind: matmul.F32, AlongK: true}
	for i, b := range h.table.blocks {
		logits := h.top(h.logits[i])
		e.product(matmul.Product{M: h.rows, N: b.Rows, K: b.Cols, A: along, B: along}, h.of(h.x), whole(b.master), logits)
		k := h.kernel(e, i)
		args := []arg{logits, h.of(h.g.targetColumn()), h.top(h.sums)}
		if k.Last {
			args = append(args, h.of(h.g.loss))
		}
		e.runRows(k.Source(), args...)
	}
}

func (h *headByBlocks) gradients(e *emitter) {
	along, plain := matmul.Operand{Kind: matmul.F32, AlongK: true}, matmul.Operand{Kind: matmul.F32}
	lift := gain(h.x.Rows)
	for i, b := range h.table.blocks {
		logits := h.top(h.logits[i])
		e.runRows(h.kernel(e, i).Gradient(), logits, h.of(h.g.targetColumn()), h.top(h.sums), whole(h.g.params.step))
		e.product(matmul.Product{M: h.rows, N: b.Cols, K: b.Rows, A: along, B: plain, Accumulate: i > 0, Gain: lift},
			logits, whole(b.master), h.of(h.dx))
		if b.frozen {
			continue
		}
		e.product(matmul.Product{M: b.Rows, N: b.Cols, K: h.rows, A: plain, B: plain, Accumulate: true, Gain: lift},
			logits, h.of(h.x), whole(b.grad))
	}
}
