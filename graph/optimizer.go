package graph

import (
	"fmt"
	"math"
	"slices"

	"bitnet/gpu"
	"bitnet/shaders"
	"bitnet/shaders/optimizer"
)

// Optimizer is how an update changes the parameters.
type Optimizer interface {
	// Storage is what it needs stored of the parameters.
	Storage() Storage
	// emit emits the change of every parameter by its gradient, scaled by the
	// clip factor in ps.state, and sets the gradients to zero.
	emit(e *emitter, ps *Params)
}

// AdamW are the constants of the optimizer of that name (Loshchilov and Hutter,
// 2019).
type AdamW struct{ Beta1, Beta2, Eps float32 }

// Storage is ForTraining.
func (o AdamW) Storage() Storage { return ForTraining }

func (o AdamW) emit(e *emitter, ps *Params) {
	for _, r := range ps.ranges() {
		o.emitRange(e, ps, r)
	}
}

func (o AdamW) emitRange(e *emitter, ps *Params, r flatRange) {
	k := optimizer.AdamW{Target: e.target, N: r.n, Group: r.group, Beta1: o.Beta1, Beta2: o.Beta2, Eps: o.Eps, Decay: r.decay}
	p := r.first
	e.run(k.Source(), r.of(p.master), r.of(p.grad), r.of(p.m), r.of(p.v), ps.step, ps.state)
}

// AdamW8 is AdamW with both moments in 8 bits, by blocks of parameters (Dettmers et
// al., 8-bit optimizers via block-wise quantization, arXiv 2110.02861): a quarter of
// the memory.
type AdamW8 struct{ AdamW }

// Storage is ForTraining8.
func (o AdamW8) Storage() Storage { return ForTraining8 }

func (o AdamW8) emit(e *emitter, ps *Params) {
	for _, r := range ps.ranges() {
		k := optimizer.AdamW8{AdamW: optimizer.AdamW{Target: e.target, N: r.n, Beta1: o.Beta1, Beta2: o.Beta2, Eps: o.Eps, Decay: r.decay}}
		p := r.first
		e.run(k.Source(), r.of(p.master), r.of(p.grad), p.m8.codes, p.m8.scales, p.r8.codes, p.r8.scales, ps.step, ps.state)
	}
}

// emitUpdate emits the norm of all gradients, the clip factor, and the optimizer.
func (ps *Params) emitUpdate(e *emitter, opt Optimizer) {
	e.op = "update"
	part := ps.emitSquares(e)
	finish := ps.finishStep()
	finish.Parts = part.Cols
	e.run(finish.Source(), part, ps.step, ps.state, ps.history)
	ps.emitClips(e, part)
	opt.emit(e, ps)
}

// emitSquares emits partial sums of the squares of all gradients, by groups.
func (ps *Params) emitSquares(e *emitter) *Tensor {
	ranges := ps.ranges()
	slices.SortStableFunc(ranges, func(a, b flatRange) int { return a.group - b.group })
	parts := 0
	for _, r := range ranges {
		parts += r.parts()
	}
	part := tensor("squared gradients", F32, 1, parts)
	at := 0
	for _, r := range ranges {
		e.run(optimizer.SumSquares{Target: e.target, N: r.n, At: at}.Source(), r.of(r.first.grad), part)
		at += r.parts()
	}
	return part
}

// RecordDivergence makes room for the divergence from a teacher, which History then gives.
// It is called before Layout.
func (ps *Params) RecordDivergence() { ps.divergence = true }

// finishStep is the kernel that records a step, but for the number of its parts.
func (ps *Params) finishStep() optimizer.FinishStep {
	return optimizer.FinishStep{Target: ps.Target, Divergence: ps.divergence}
}

// flatRange is a run of parameters that lie one after another in every form.
type flatRange struct {
	first  *Param
	n      int // elements, padding between parameters included
	decay  bool
	second bool // they have a second moment
	group  int  // that they are clipped with
}

// parts is the number of partial sums over its gradients.
func (r flatRange) parts() int { return optimizer.SumSquares{N: r.n}.Parts() }

// ranges cuts the trained parameters into as few flat ranges as bindings allow.
func (ps *Params) ranges() []flatRange {
	var out []flatRange
	for _, p := range storedOf(ps.Trained()) {
		n := int(roundUp(p.master.bytes(), ps.align()) / 4)
		if last := len(out) - 1; last >= 0 {
			r := &out[last]
			if r.follows(p) && r.decay == p.decay && r.group == p.group && 4*int64(r.n+n) <= ps.Limits.Binding {
				r.n += n
				continue
			}
		}
		out = append(out, flatRange{p, n, p.decay, p.v != nil, p.group})
	}
	return out
}

// follows reports whether a parameter lies right after the range. Values,
// gradients and first moments lie at the same places of their arenas.
func (r *flatRange) follows(p *Param) bool {
	after := func(first, next *Tensor) bool {
		return first.slab == next.slab && first.offset+4*int64(r.n) == next.offset
	}
	return r.second == (p.v != nil) && after(r.first.master, p.master) && (p.v == nil || after(r.first.v, p.v))
}

// of is the range that begins with a form of its first parameter.
func (r flatRange) of(t *Tensor) *Tensor {
	return &Tensor{Name: t.arena.name, Rows: 1, Cols: r.n, arena: t.arena, slab: t.slab, offset: t.offset}
}

// HistorySlots is how many steps the device remembers between two readings.
const HistorySlots = 1024

// StepValues are what changes from one optimizer step to the next.
type StepValues struct {
	Step         int64 // from 0
	Absent       int64 // steps before it that made no update here: bias corrections leave them out
	LearningRate float64
	WeightDecay  float64
	LossTokens   int     // positions that carry loss in all micro-batches of the step, on all machines
	MaxNorm      float64 // clip the global gradient norm at this
	Beta1, Beta2 float64 // of AdamW, for the bias corrections
	Ramp         float64 // share of the way to quantised weights and activations: Graph.Ramp, Graph.RampLinear
}

// SetStep writes the values of the next step. It allocates nothing. The values
// hold from the first micro-batch of the step to its update.
func (ps *Params) SetStep(v StepValues) error {
	if err := ps.onDevice(); err != nil {
		return err
	}
	t := float64(v.Step - v.Absent + 1)
	s := ps.stepValues[:]
	s[shaders.StepLR] = float32(v.LearningRate)
	s[shaders.StepDecay] = float32(v.WeightDecay)
	s[shaders.StepCorrect1] = float32(1 / (1 - math.Pow(v.Beta1, t)))
	s[shaders.StepCorrect2] = float32(1 / math.Sqrt(1-math.Pow(v.Beta2, t)))
	s[shaders.StepLossScale] = float32(1 / float64(max(v.LossTokens, 1)))
	s[shaders.StepMaxNorm] = float32(v.MaxNorm)
	s[shaders.StepSlot] = math.Float32frombits(uint32(v.Step % HistorySlots))
	s[shaders.StepRamp] = float32(v.Ramp)
	return ps.step.write(gpu.Bytes(s))
}

// StepResult is what the device recorded of a step.
type StepResult struct {
	Loss     float32 // mean over the positions that carry loss
	GradNorm float32 // global, before clipping
	// Divergence is that from a teacher, in nats; 0 without RecordDivergence.
	Divergence float32
}

// History reads the results of the steps from up to, but not including, to. It
// waits for the device. At most HistorySlots steps are remembered.
func (ps *Params) History(from, to int64) ([]StepResult, error) {
	if to-from > HistorySlots {
		return nil, fmt.Errorf("the device remembers %d steps, not %d", HistorySlots, to-from)
	}
	if err := ps.onDevice(); err != nil {
		return nil, err
	}
	columns := int64(ps.finishStep().Columns())
	all := make([]float32, columns*HistorySlots)
	if err := ps.history.read(gpu.Bytes(all)); err != nil {
		return nil, err
	}
	out := make([]StepResult, 0, to-from)
	for s := from; s < to; s++ {
		row := all[columns*(s%HistorySlots):]
		r := StepResult{Loss: row[0], GradNorm: row[1]}
		if ps.divergence {
			r.Divergence = row[2]
		}
		out = append(out, r)
	}
	return out, nil
}
