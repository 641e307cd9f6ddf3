package shaders

import (
	"fmt"
	"math"
)

// Elements of the step buffer: what changes from step to step, written by the host.
const (
	StepLR        = iota // learning rate
	StepDecay            // weight decay
	StepCorrect1         // 1 / (1 - beta1^t)
	StepCorrect2         // 1 / sqrt(1 - beta2^t)
	StepLossScale        // 1 / (positions that carry loss in the whole step)
	StepMaxNorm          // gradient norm to clip at
	StepSlot             // slot of the history, as the bits of a u32
	StepLen
)

// Elements of the state buffer, which only kernels write.
const (
	StateLoss = iota // the step's mean loss so far
	StateClip        // factor that clips the gradient
	StateLen
)

// threads1D is the part that every kernel over a folded index has.
type threads1D struct{ Threads int }

func (t Target) elementwise(n int) (threads1D, [3]uint32) {
	return threads1D{t.threads()}, fold(ceilDiv(n, t.threads()))
}

// vectors is the part that kernels have which do the same with each element:
// an invocation takes four where the rows' length allows it.
type vectors struct {
	threads1D
	V, Over, Per string
}

func (t Target) vectors(rows, width int) (vectors, [3]uint32) {
	if width%4 != 0 {
		th, groups := t.elementwise(rows * width)
		return vectors{th, "f32", "", "an element"}, groups
	}
	th, groups := t.elementwise(rows * width / 4)
	return vectors{th, "vec4<f32>", " / 4u", "four elements"}, groups
}

// rowLayout is the part that every kernel over rows has.
type rowLayout struct{ Threads, Lanes, RowsPerGroup int }

func (t Target) rowwise(rows, width int) (rowLayout, [3]uint32) {
	lanes, per := t.lanes(width)
	return rowLayout{Threads: lanes * per, Lanes: lanes, RowsPerGroup: per}, fold(ceilDiv(rows, per))
}

// single is the layout of a kernel of one workgroup over n values.
func (t Target) single() rowLayout {
	if t != GPU {
		return rowLayout{1, 1, 1}
	}
	return rowLayout{256, 256, 1}
}

// tokenBlock is how many rows a kernel over columns takes at once: few enough to
// keep all invocations of a card busy, and at most 64 blocks.
func tokenBlock(tokens int) int { return max(16, ceilDiv(tokens, 64)) }

// Embedding: y[t] = table[ids[t]]. Bindings: ids, table, y.
type Embedding struct {
	Target        Target
	Tokens, Width int
}

func (k Embedding) Source() Source {
	v, groups := k.Target.vectors(k.Tokens, k.Width)
	return source("embedding.wgsl", fmt.Sprintf("embedding %dx%d", k.Tokens, k.Width), groups, 0, struct {
		Embedding
		vectors
	}{k, v})
}

// EmbeddingBackward adds the gradient of the table. Bindings: ids, order, dy, dtable.
type EmbeddingBackward Embedding

func (k EmbeddingBackward) Source() Source {
	v, groups := k.Target.vectors(k.Tokens, k.Width)
	return source("embedding_backward.wgsl", fmt.Sprintf("embedding backward %dx%d", k.Tokens, k.Width), groups, float64(k.Tokens*k.Width), struct {
		EmbeddingBackward
		vectors
	}{k, v})
}

// FoldRows adds the sum over rows to y. Bindings: x [Rows, Cols], y [Cols].
type FoldRows struct {
	Target     Target
	Rows, Cols int
}

func (k FoldRows) Source() Source {
	lanes := 1
	if k.Target == GPU {
		lanes = 8 // a card has more invocations than a model has columns
	}
	threads := k.Target.threads()
	return source("fold_rows.wgsl", fmt.Sprintf("fold rows %dx%d", k.Rows, k.Cols), fold(ceilDiv(k.Cols*lanes, threads)), float64(k.Rows*k.Cols), struct {
		FoldRows
		Threads, Lanes int
	}{k, threads, lanes})
}

// Rope rotates the first Heads heads of each row in place; Stride is the
// length of a row. With a Context, sequences begin at positions of their own.
// Bindings: table [Seq or Context, 2, HeadDim/2], x, and start [Tokens / Seq]
// with a Context.
type Rope struct {
	Target                              Target
	Tokens, Seq, Heads, HeadDim, Stride int
	Context                             int
	Backward                            bool
}

func (k Rope) Source() Source {
	v, groups := k.Target.vectors(k.Tokens*k.Heads, k.HeadDim/2)
	return source("rope.wgsl", fmt.Sprintf("rope %dx%dx%d", k.Tokens, k.Heads, k.HeadDim), groups, 3*float64(k.Tokens*k.Heads*k.HeadDim), struct {
		Rope
		vectors
	}{k, v})
}

// CrossEntropy is the loss of rows of logits and, with Gradient, their
// gradient in place. Bindings: logits, targets, loss, and step with Gradient.
type CrossEntropy struct {
	Target      Target
	Rows, Vocab int
	Gradient    bool
}

func (k CrossEntropy) Source() Source {
	layout, groups := k.Target.rowwise(k.Rows, k.Vocab)
	return source("crossentropy.wgsl", fmt.Sprintf("cross-entropy %dx%d", k.Rows, k.Vocab), groups, 10*float64(k.Rows*k.Vocab), struct {
		CrossEntropy
		rowLayout
		LossScale int
	}{k, layout, StepLossScale})
}

// CachedAttention has the shapes of attention over a cache of keys and values:
// Seq new tokens a sequence, up to Context in all.
type CachedAttention struct {
	Target                                       Target
	Batch, Seq, Context, Heads, KVHeads, HeadDim int
}

// Append stores new keys and values. Bindings: start [Batch], qkv, keys, values.
func (k CachedAttention) Append() Source {
	n := k.Batch * k.Seq * k.KVHeads * k.HeadDim
	th, groups := k.Target.elementwise(n)
	return source("cache_append.wgsl", fmt.Sprintf("cache append %dx%dx%d", k.Batch, k.Seq, k.KVHeads*k.HeadDim), groups, 0, struct {
		CachedAttention
		threads1D
	}{k, th})
}

// Source is the attention. Bindings: start [Batch], qkv, keys, values, o. Its
// work is that of a full context.
func (k CachedAttention) Source() Source {
	rows := k.Batch * k.Seq * k.Heads
	p := struct {
		CachedAttention
		Scale   float32
		Shared  bool
		Threads int
	}{k, float32(1 / math.Sqrt(float64(k.HeadDim))), k.Target == GPU, 16}
	groups := fold(ceilDiv(rows, p.Threads))
	if p.Shared {
		p.Threads = 64
		for p.Threads < k.HeadDim/4 {
			p.Threads *= 2
		}
		groups = fold(rows)
	}
	return source("attention_cached.wgsl", fmt.Sprintf("attention cached %dx%dx%dx%d", k.Batch, k.Seq, k.Heads, k.HeadDim), groups,
		4*float64(rows)*float64(k.Context)*float64(k.HeadDim), p)
}

// SumSquares writes partial sums of squares of N values at At of a list of
// partial sums. Bindings: x, part.
type SumSquares struct {
	Target Target
	N, At  int
}

// Parts is the number of partial sums.
func (k SumSquares) Parts() int { return min(256, ceilDiv(k.N, 1024)) }

func (k SumSquares) Source() Source {
	layout, groups := k.Target.rowwise(k.Parts(), 1024)
	return source("sum_squares.wgsl", fmt.Sprintf("sum of squares %d", k.N), groups, 2*float64(k.N), struct {
		SumSquares
		rowLayout
		Parts int
	}{k, layout, k.Parts()})
}

// GatherLoss adds a micro-batch's loss to the state. Bindings: loss [Tokens], step, state.
type GatherLoss struct {
	Target Target
	Tokens int
}

func (k GatherLoss) Source() Source {
	return source("gather_loss.wgsl", fmt.Sprintf("gather loss %d", k.Tokens), [3]uint32{1, 1, 1}, float64(k.Tokens), struct {
		GatherLoss
		rowLayout
		Loss, LossScale int
	}{k, k.Target.single(), StateLoss, StepLossScale})
}

// FinishStep computes the gradient norm and the clip factor, and records the
// step. Bindings: part [Parts], step, state, history.
type FinishStep struct {
	Target Target
	Parts  int
}

func (k FinishStep) Source() Source {
	return source("finish_step.wgsl", "finish step", [3]uint32{1, 1, 1}, float64(k.Parts), struct {
		FinishStep
		rowLayout
		Loss, Clip, MaxNorm, Slot int
	}{k, k.Target.single(), StateLoss, StateClip, StepMaxNorm, StepSlot})
}

// AdamW updates N parameters. Bindings: p, g, m, v, step, state.
type AdamW struct {
	Target            Target
	N                 int
	Beta1, Beta2, Eps float32
	Decay             bool
}

func (k AdamW) Source() Source {
	v, groups := k.Target.vectors(1, k.N)
	return source("adamw.wgsl", fmt.Sprintf("adamw %d", k.N), groups, 15*float64(k.N), struct {
		AdamW
		vectors
		LR, WD, Correct1, Correct2, Clip int
	}{k, v, StepLR, StepDecay, StepCorrect1, StepCorrect2, StateClip})
}

// GatherRows copies chosen rows. Bindings: rows [Rows], x, y.
type GatherRows struct {
	Target      Target
	Rows, Width int
}

func (k GatherRows) Source() Source {
	th, groups := k.Target.elementwise(k.Rows * k.Width)
	return source("gather_rows.wgsl", fmt.Sprintf("gather rows %dx%d", k.Rows, k.Width), groups, 0, struct {
		GatherRows
		threads1D
	}{k, th})
}
