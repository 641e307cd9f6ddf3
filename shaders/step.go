package shaders

// Elements of the step buffer: what changes from step to step. The host writes them.
const (
	StepLR        = iota // learning rate
	StepDecay            // weight decay
	StepCorrect1         // 1 / (1 - beta1^t)
	StepCorrect2         // 1 / sqrt(1 - beta2^t)
	StepLossScale        // 1 / (positions that carry loss in the whole step)
	StepMaxNorm          // gradient norm to clip at
	StepSlot             // slot of the history, as the bits of a u32
	StepRamp             // share of the way to quantised weights and activations
	StepLen
)

// Elements of the state buffer, which only kernels write.
const (
	StateLoss       = iota // mean loss of the step so far
	StateDivergence        // mean divergence from a teacher so far
	StateClip              // factor that clips the gradient; with groups of parameters that of the first, and those of the others follow
	StateLen
)
