// Package optimizer has the kernels of an update: the norm of the gradient,
// its clipping, AdamW and Muon.
package optimizer

import (
	"embed"
	"fmt"

	"bitnet/shaders"
)

//go:embed *.wgsl
var files embed.FS

var family = shaders.NewFamily("optimizer", files, "index.wgsl", "lanes.wgsl")

// SumSquares writes partial sums of squares of N values, from place At of a list
// of partial sums on. Bindings: x, part.
type SumSquares struct {
	Target shaders.Target
	N, At  int
}

// Parts is the number of partial sums.
func (k SumSquares) Parts() int { return min(256, shaders.CeilDiv(k.N, 1024)) }

func (k SumSquares) Source() shaders.Source {
	layout, groups := k.Target.Rowwise(k.Parts(), 1024)
	return family.Source("sum_squares.wgsl", fmt.Sprintf("sum of squares %d", k.N), groups, 2*float64(k.N), struct {
		SumSquares
		shaders.Rowwise
		Parts int
	}{k, layout, k.Parts()})
}

// FinishStep computes the gradient norm and the clip factor, and records the step.
// Bindings: part [Parts], step, state, history [slots, Columns()].
type FinishStep struct {
	Target     shaders.Target
	Parts      int
	Divergence bool // from a teacher is recorded, too
}

// Columns is how many numbers the history has of a step.
func (k FinishStep) Columns() int {
	if k.Divergence {
		return 3
	}
	return 2
}

func (k FinishStep) Source() shaders.Source {
	return family.Source("finish_step.wgsl", "finish step", [3]uint32{1, 1, 1}, float64(k.Parts), struct {
		FinishStep
		shaders.Rowwise
		Loss, Clip, StateDivergence, MaxNorm, Slot int
	}{k, k.Target.Single(), shaders.StateLoss, shaders.StateClip, shaders.StateDivergence, shaders.StepMaxNorm, shaders.StepSlot})
}

// ClipGroups clips groups of parameters each by its own norm; FinishStep runs before.
// Bindings: part, step, state, norms [slots, groups].
type ClipGroups struct {
	Target shaders.Target
	Groups [][2]int // the first part of a group, and the one after its last
}

func (k ClipGroups) Source() shaders.Source {
	parts := k.Groups[len(k.Groups)-1][1]
	return family.Source("clip_groups.wgsl", fmt.Sprintf("clip %d groups", len(k.Groups)), [3]uint32{1, 1, 1}, float64(parts), struct {
		ClipGroups
		shaders.Rowwise
		Clip, MaxNorm, Slot int
	}{k, k.Target.Single(), shaders.StateClip, shaders.StepMaxNorm, shaders.StepSlot})
}

// PartialNorm records the norm of the gradients so far. Bindings: part [Parts],
// step, norms [slots].
type PartialNorm struct {
	Target shaders.Target
	Parts  int
}

func (k PartialNorm) Source() shaders.Source {
	return family.Source("partial_norm.wgsl", "norm of a part of a step", [3]uint32{1, 1, 1}, float64(k.Parts), struct {
		PartialNorm
		shaders.Rowwise
		Slot int
	}{k, k.Target.Single(), shaders.StepSlot})
}

// Discard sets the gradients of N parameters, and the loss, to zero. Bindings: g, state.
type Discard struct {
	Target shaders.Target
	N      int
}

func (k Discard) Source() shaders.Source {
	v, groups := k.Target.Vectors(1, k.N)
	return family.Source("discard.wgsl", fmt.Sprintf("discard %d", k.N), groups, 0, struct {
		Discard
		shaders.Vectors
		Loss int
	}{k, v, shaders.StateLoss})
}

// AdamW updates N parameters. Bindings: p, g, m, v, step, state.
type AdamW struct {
	Target            shaders.Target
	N                 int
	Group             int // of parameters that are clipped together: ClipGroups
	Beta1, Beta2, Eps float32
	Decay             bool
}

func (k AdamW) Source() shaders.Source {
	v, groups := k.Target.Vectors(1, k.N)
	return family.Source("adamw.wgsl", fmt.Sprintf("adamw %d", k.N), groups, 15*float64(k.N), struct {
		AdamW
		shaders.Vectors
		LR, WD, Correct1, Correct2, Clip int
	}{k, v, shaders.StepLR, shaders.StepDecay, shaders.StepCorrect1, shaders.StepCorrect2, shaders.StateClip + k.Group})
}

// MomentBlock is how many moments share a scale in AdamW8.
const MomentBlock = 2048

// AdamW8 is AdamW with moments in 8 bits. N is a multiple of 4. Bindings: p, g, m,
// ms, r, rs, step, state.
type AdamW8 struct{ AdamW }

// Blocks is the number of blocks, and so of scales.
func (k AdamW8) Blocks() int { return shaders.CeilDiv(k.N, MomentBlock) }

func (k AdamW8) Source() shaders.Source {
	layout, groups := k.Target.Rowwise(k.Blocks(), MomentBlock)
	return family.Source("adamw_8bit.wgsl", fmt.Sprintf("adamw of 8 bits %d", k.N), groups, 60*float64(k.N), struct {
		AdamW
		shaders.Rowwise
		Block, Blocks, LR, WD, Correct1, Correct2, Clip int
	}{k.AdamW, layout, MomentBlock, k.Blocks(), shaders.StepLR, shaders.StepDecay, shaders.StepCorrect1, shaders.StepCorrect2, shaders.StateClip})
}
