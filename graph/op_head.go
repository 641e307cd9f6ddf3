package graph

import (
	"errors"
	"fmt"

	"bitnet/gpu"
	"bitnet/shaders/loss"
	"bitnet/shaders/matmul"
	"bitnet/shaders/rows"
)

// head is what the output head leaves for the host.
type head struct {
	loss       *Tensor     // [tokens, 1], of each position
	divergence *Tensor     // [tokens, 1], from a teacher; nil without one
	logits     [][]*Tensor // of chosen positions, for generation, some of them each; by blocks of the table
	rows       []*Tensor   // which positions these are
}

// logitsBytes bounds the block of logits that exists at any time.
const logitsBytes = 64 << 20

// headRowsLeast is the number of rows of logits that are computed at once, at least,
// and a divisor of any other: every block of rows begins at an aligned offset.
const headRowsLeast = 64

// headRows is how many rows of logits are computed at once.
func headRows(tokens, vocab int, limit int64) int {
	rows := int(min(logitsBytes, limit) / int64(4*vocab))
	return min(max(rows/headRowsLeast*headRowsLeast, headRowsLeast), tokens)
}

// Loss is the output head, tied to the embedding table [vocab, hidden], with
// softmax cross-entropy: loss[t] = logsumexp(logits[t]) - logits[t, target t],
// 0 where the target is 0xffffffff. In training the gradient of the mean loss
// is computed in the same pass, block of rows by block of rows, so that the
// full logits [tokens, vocab] never exist.
func (g *Graph) Loss(x *Tensor, table *Param) { g.declareLoss(x, table, nil) }

// declareLoss declares the head, with a teacher if it is not nil.
func (g *Graph) declareLoss(x *Tensor, table *Param, teacher *Teacher) {
	if g.loss != nil {
		g.fail("a graph has one loss")
	}
	tokens, vocab, hidden := x.Rows, table.Rows, x.Cols
	g.loss = g.input("losses", F32, tokens, 1)
	g.add("head", func(e *emitter) {
		if teacher != nil {
			e.inOneBinding(table)
		} else if table.blocks != nil {
			g.lossByBlocks(e, x, table)
			return
		}
		block := headRows(tokens, vocab, e.limits.Binding)
		logits := tensor("logits", F32, block, vocab)
		var dx *Tensor
		if e.training {
			dx, _ = e.gradOut(x)
		}
		plain := matmul.Operand{Kind: matmul.F32}
		alongK := matmul.Operand{Kind: matmul.F32, AlongK: true}
		for first := 0; first < tokens; first += block {
			n := min(block, tokens-first)
			of := func(t *Tensor) arg { return arg{t, first, n} }
			part := arg{logits, 0, n}
			e.product(matmul.Product{M: n, N: vocab, K: hidden, A: alongK, B: alongK},
				of(x), whole(table.master), part)
			// targets and losses are one row and one column of the same positions
			targets, losses := arg{g.targetColumn(), first, n}, of(g.loss)
			if !e.training {
				e.runRows(loss.CrossEntropy{Target: e.target, Rows: n, Vocab: vocab}.Source(), part, targets, losses)
				continue
			}
			if teacher != nil {
				e.distill(g, teacher, first, n, part, targets, losses)
			} else {
				e.runRows(loss.CrossEntropy{Target: e.target, Rows: n, Vocab: vocab, Gradient: true}.Source(),
					part, targets, losses, whole(g.params.step))
			}
			e.product(matmul.Product{M: n, N: hidden, K: vocab, A: alongK, B: plain, Gain: gain(tokens)},
				part, whole(table.master), of(dx))
			if table.frozen {
				continue
			}
			e.product(matmul.Product{M: vocab, N: hidden, K: n, A: plain, B: plain, Accumulate: true, Gain: gain(tokens)},
				part, of(x), whole(table.grad))
		}
		g.gatherLoss(e)
	}, nil)
}

// gatherLoss emits, in training, the sum of the losses, and of the divergences where there
// is a teacher.
func (g *Graph) gatherLoss(e *emitter) {
	if !e.training {
		return
	}
	e.run(loss.Gather{Target: e.target, Tokens: g.loss.Rows}.Source(), g.loss, g.params.step, g.params.state)
	if g.divergence != nil {
		e.run(loss.Gather{Target: e.target, Tokens: g.loss.Rows, Divergence: true}.Source(), g.divergence, g.params.step, g.params.state)
	}
}

// targetColumn is the row of targets seen as a column.
func (g *Graph) targetColumn() *Tensor {
	t := *g.targets
	t.Rows, t.Cols = t.Cols, t.Rows
	return &t
}

// Logits computes the logits of n positions, [n, vocab], for generation:
// Program.SetRows chooses them. With alike, the logits of a position are the same
// bits whatever n is: they are computed a few rows at a time, by the one kernel
// whose sums have the same order for any number of rows. That reads the table
// once for each few rows.
//
// Of a large table for inference it reads the form in int8. The largest logit of a
// row, and those near it, are then as exact as without; the others differ by no more
// than half a step between two codes times the sum of |x|.
func (g *Graph) Logits(x *Tensor, table *Param, n int, alike bool) {
	if g.logits != nil {
		g.fail("a graph has one set of logits")
	}
	if g.params.storage == 0 {
		g.fail("logits are declared before the parameters have places: call Layout first")
	}
	each := n
	if alike || table.shortened() {
		each = min(n, matmul.FewRows)
	}
	for first := 0; first < n; first += each {
		rows := min(each, n-first)
		g.rows = append(g.rows, g.input("rows", U32, 1, rows))
		var blocks []*Tensor
		for _, b := range table.stored() {
			blocks = append(blocks, g.input("logits", F32, rows, b.Rows))
		}
		g.logits = append(g.logits, blocks)
	}
	g.add("logits", func(e *emitter) {
		for i, part := range g.rows {
			chosen := tensor("chosen rows", F32, part.Cols, x.Cols)
			e.run(rows.Gather{Target: e.target, Rows: part.Cols, Width: x.Cols}.Source(), part, x, chosen)
			for j, b := range table.stored() {
				mm := matmul.Product{
					Target: e.target, M: part.Cols, N: b.Rows, K: x.Cols,
					A: matmul.Operand{Kind: matmul.F32, AlongK: true}, B: matmul.Operand{Kind: matmul.F32, AlongK: true},
				}
				if table.shortened() {
					e.shortLogits(mm, chosen, b, g.logits[i][j])
					continue
				}
				e.run(mm.Source(), chosen, b.master, g.logits[i][j])
			}
		}
	}, nil)
}

// shortLogits computes logits from the table in int8, and those that could be the
// largest of a row again from the table in f32: of each block, if it has several.
func (e *emitter) shortLogits(mm matmul.Product, x *Tensor, table *Param, logits *Tensor) {
	mm.B.Kind, mm.ColScale = matmul.Int8, true
	e.run(mm.Source(), x, table.codes, table.scale, logits)
	k := matmul.Near{Target: mm.Target, M: mm.M, N: mm.N, K: mm.K}
	bound := tensor("bound of the largest", F32, mm.M, 2)
	e.run(k.Bound(), x, table.scale, logits, bound)
	e.run(k.Source(), x, table.master, table.scale, bound, logits)
}

// Losses reads the loss of every position of the last micro-batch, 0 where it
// was ignored. It waits for the device.
func (r *Program) Losses(dst []float32) error {
	loss := r.plan.graph.loss
	if err := r.ready(); err != nil {
		return err
	}
	if loss == nil {
		return errors.New("the program computes no loss: declare it with Graph.Loss")
	}
	return loss.read(gpu.Bytes(dst))
}

var errNoLogits = errors.New("the program computes no logits: declare them with Graph.Logits")

// SetRows chooses the positions whose logits are computed, one for each row.
func (r *Program) SetRows(rows []uint32) error {
	if err := r.ready(); err != nil {
		return err
	}
	if r.plan.graph.rows == nil {
		return errNoLogits
	}
	for _, t := range r.plan.graph.rows {
		n := min(t.Cols, len(rows))
		if err := t.write(gpu.Bytes(rows[:n])); err != nil {
			return err
		}
		rows = rows[n:]
	}
	if len(rows) > 0 {
		return fmt.Errorf("%d rows more than the program has logits for", len(rows))
	}
	return nil
}

// Logits reads the logits of the first chosen positions, [rows, vocab], as many as
// dst has room for. It waits for the device.
func (r *Program) Logits(dst []float32) error {
	if err := r.ready(); err != nil {
		return err
	}
	if r.plan.graph.logits == nil {
		return errNoLogits
	}
	for _, blocks := range r.plan.graph.logits {
		n, err := readSideBySide(blocks, dst)
		if err != nil {
			return err
		}
		if dst = dst[n:]; len(dst) == 0 {
			break
		}
	}
	if len(dst) > 0 {
		return fmt.Errorf("room for %d logits more than the program computes", len(dst))
	}
	return nil
}

// readSideBySide reads tensors of as many rows each as the columns of one matrix, from
// its start on: as many values as there are, or as dst has room for.
func readSideBySide(parts []*Tensor, dst []float32) (int, error) {
	rows, cols := parts[0].Rows, 0
	for _, t := range parts {
		cols += t.Cols
	}
	n := min(rows*cols, len(dst))
	switch {
	case n == 0:
		return 0, nil
	case len(parts) == 1:
		return n, parts[0].read(gpu.Bytes(dst[:n]))
	}
	first := 0
	for _, t := range parts {
		values := make([]float32, (n+cols-1)/cols*t.Cols)
		if err := t.read(gpu.Bytes(values)); err != nil {
			return 0, err
		}
		for r := 0; r*cols+first < n; r++ {
			copy(dst[r*cols+first:n], values[r*t.Cols:][:t.Cols])
		}
		first += t.Cols
	}
	return n, nil
}
