// Package loss has the kernels of the loss.
package loss

import (
	"embed"
	"fmt"

	"bitnet/shaders"
)

//go:embed *.wgsl
var files embed.FS

var family = shaders.NewFamily("loss", files, "lanes.wgsl")

// CrossEntropy is the loss of rows of logits and, with Gradient, their
// gradient in place. Bindings: logits, targets, loss, and step with Gradient.
type CrossEntropy struct {
	Target      shaders.Target
	Rows, Vocab int
	Gradient    bool
}

func (k CrossEntropy) Source() shaders.Source {
	layout, groups := k.Target.Rowwise(k.Rows, k.Vocab)
	return family.Source("cross_entropy.wgsl", fmt.Sprintf("cross-entropy %dx%d", k.Rows, k.Vocab), groups, 10*float64(k.Rows*k.Vocab), struct {
		CrossEntropy
		shaders.Rowwise
		LossScale int
	}{k, layout, shaders.StepLossScale})
}

// Distill is CrossEntropy with Gradient, mixed with the divergence from the logits of a
// teacher. Bindings: logits, teacher, targets, loss, divergence, step.
type Distill struct {
	Target              shaders.Target
	Rows, Vocab         int
	Weight, Temperature float32
}

func (k Distill) Source() shaders.Source {
	layout, groups := k.Target.Rowwise(k.Rows, k.Vocab)
	return family.Source("distill.wgsl", fmt.Sprintf("distillation %dx%d", k.Rows, k.Vocab), groups, 30*float64(k.Rows*k.Vocab), struct {
		Distill
		shaders.Rowwise
		LossScale int
	}{k, layout, shaders.StepLossScale})
}

// Block is the loss over logits that lie in several blocks of columns: its sources run
// over the blocks in order, and then its gradients over all of them in any.
type Block struct {
	Target      shaders.Target
	Rows, Vocab int  // of the block
	At          int  // its first column; the first block has 0
	Last        bool // the loss is known after it
}

// Source sums the exponentials. Bindings: logits, targets, sums [Rows, 3], and loss
// with Last.
func (k Block) Source() shaders.Source {
	layout, groups := k.Target.Rowwise(k.Rows, k.Vocab)
	return family.Source("blocks.wgsl", fmt.Sprintf("cross-entropy %dx%d from %d", k.Rows, k.Vocab, k.At), groups, 5*float64(k.Rows*k.Vocab), struct {
		Block
		shaders.Rowwise
	}{k, layout})
}

// Gradient replaces the block's logits. Bindings: logits, targets, sums, step.
func (k Block) Gradient() shaders.Source {
	layout, groups := k.Target.Rowwise(k.Rows, k.Vocab)
	return family.Source("blocks_gradient.wgsl", fmt.Sprintf("cross-entropy gradient %dx%d from %d", k.Rows, k.Vocab, k.At), groups, 5*float64(k.Rows*k.Vocab), struct {
		Block
		shaders.Rowwise
		LossScale int
	}{k, layout, shaders.StepLossScale})
}

// Gather adds a micro-batch's loss to the state, or with Divergence that from a teacher.
// Bindings: loss [Tokens], step, state.
type Gather struct {
	Target     shaders.Target
	Tokens     int
	Divergence bool
}

func (k Gather) Source() shaders.Source {
	label, into := "gather loss", shaders.StateLoss
	if k.Divergence {
		label, into = "gather divergence", shaders.StateDivergence
	}
	return family.Source("gather.wgsl", fmt.Sprintf("%s %d", label, k.Tokens), [3]uint32{1, 1, 1}, float64(k.Tokens), struct {
		Gather
		shaders.Rowwise
		Loss, LossScale int
	}{k, k.Target.Single(), into, shaders.StepLossScale})
}
