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

// Gather adds a micro-batch's loss to the state. Bindings: loss [Tokens], step, state.
type Gather struct {
	Target shaders.Target
	Tokens int
}

func (k Gather) Source() shaders.Source {
	return family.Source("gather.wgsl", fmt.Sprintf("gather loss %d", k.Tokens), [3]uint32{1, 1, 1}, float64(k.Tokens), struct {
		Gather
		shaders.Rowwise
		Loss, LossScale int
	}{k, k.Target.Single(), shaders.StateLoss, shaders.StepLossScale})
}
