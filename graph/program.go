package graph

import (
	"fmt"
	"math"
	"time"

	"bitnet/gpu"
	"bitnet/shaders"
)

// Program is a plan on a device, ready to run.
type Program struct {
	plan   *Plan
	dev    *gpu.Device
	micro  *gpu.Program // forward, and in training backward
	update *gpu.Program // micro followed by the optimizer's update; nil outside training

	staging []uint32 // tokens, order, targets as they lie on the device
	counts  []uint32 // of the counting sort
	vocab   int
}

// Compile allocates the plan's buffers and compiles its kernels. The
// parameters must be allocated on the same device.
func (p *Plan) Compile(dev *gpu.Device) (*Program, error) {
	g := p.graph
	for _, a := range []*arena{g.inputs, p.activations} {
		if err := a.allocate(dev); err != nil {
			return nil, err
		}
	}
	for _, c := range g.constants {
		if err := c.t.write(gpu.Bytes(c.values)); err != nil {
			return nil, err
		}
	}
	end := g.targets.offset + g.targets.bytes()
	r := &Program{plan: p, dev: dev, staging: make([]uint32, end/4)}
	var err error
	if r.micro, err = assemble(dev, "micro-batch", p.calls[:p.micro]); err != nil {
		return nil, err
	}
	if len(p.calls) > p.micro {
		if r.update, err = assemble(dev, "step", p.calls); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Release frees the program's buffers, not those of the parameters.
func (r *Program) Release() {
	r.micro.Release()
	if r.update != nil {
		r.update.Release()
	}
	r.plan.graph.inputs.release()
	r.plan.activations.release()
}

// Load hands over a micro-batch: token ids below vocab and the id to predict
// at each position, or data.Ignore. It allocates nothing after the first call.
func (r *Program) Load(tokens, targets []uint32, vocab int) error {
	g := r.plan.graph
	n := g.Tokens()
	if len(tokens) != n || len(targets) != n {
		return fmt.Errorf("a batch of %d tokens and %d targets for a program of %d", len(tokens), len(targets), n)
	}
	at := func(t *Tensor) []uint32 { return r.staging[t.offset/4:][:n] }
	copy(at(g.tokens), tokens)
	copy(at(g.targets), targets)
	if len(r.counts) < vocab+1 {
		r.counts = make([]uint32, vocab+1)
	}
	if err := sortPositions(at(g.order), tokens, r.counts[:vocab+1]); err != nil {
		return err
	}
	return g.inputs.slabs[0].Write(0, gpu.Bytes(r.staging))
}

// SetTokens hands over the token ids of a program that computes no loss; they
// must be below the vocabulary's size.
func (r *Program) SetTokens(tokens []uint32) error {
	return r.plan.graph.tokens.write(gpu.Bytes(tokens))
}

// sortPositions writes the positions of tokens sorted by id, ties in order
// (a counting sort; counts is scratch of vocab + 1 elements).
func sortPositions(order, tokens, counts []uint32) error {
	clear(counts)
	for t, id := range tokens {
		if int(id) >= len(counts)-1 {
			return fmt.Errorf("token %d at position %d is not below the vocabulary's size of %d", id, t, len(counts)-1)
		}
		counts[id+1]++
	}
	for i := 1; i < len(counts); i++ {
		counts[i] += counts[i-1]
	}
	for t, id := range tokens {
		order[counts[id]] = uint32(t)
		counts[id]++
	}
	return nil
}

// Run starts the forward (and backward) pass of the loaded micro-batch and,
// with update, the optimizer after it. It returns before the device is done.
func (r *Program) Run(update bool) error {
	if update {
		return r.update.Run()
	}
	return r.micro.Run()
}

// Losses reads the loss of every position of the last run, 0 where it was
// ignored; it waits for the device.
func (r *Program) Losses(dst []float32) error {
	return r.plan.graph.loss.read(gpu.Bytes(dst))
}

// SetRows chooses the positions whose logits are computed.
func (r *Program) SetRows(rows []uint32) error {
	return r.plan.graph.rows.write(gpu.Bytes(rows))
}

// Logits reads the logits of the chosen rows, [rows, vocab].
func (r *Program) Logits(dst []float32) error {
	return r.plan.graph.logits.read(gpu.Bytes(dst))
}

// Timing is how long one kernel of a step took.
type Timing struct {
	Op, Kernel string
	Flops      float64
	Time       time.Duration
}

// Profile runs a whole step once and times each of its kernels.
func (r *Program) Profile() ([]Timing, error) {
	program, calls := r.micro, r.plan.calls[:r.plan.micro]
	if r.update != nil {
		program, calls = r.update, r.plan.calls
	}
	times, err := program.Time()
	if err != nil {
		return nil, err
	}
	out := make([]Timing, len(calls))
	for i, c := range calls {
		out[i] = Timing{c.op, c.src.Label, c.src.Flops, times[i]}
	}
	return out, nil
}

// StepValues are what changes from one optimizer step to the next.
type StepValues struct {
	Step         int64   // from 0
	LearningRate float64 //
	WeightDecay  float64
	LossTokens   int     // positions that carry loss in all micro-batches
	MaxNorm      float64 // clip the global gradient norm at this
	Beta1, Beta2 float64 // of AdamW, for the bias corrections
}

// SetStep writes the values of the next step. It allocates nothing.
func (ps *Params) SetStep(v StepValues) error {
	t := float64(v.Step + 1)
	s := ps.stepValues[:]
	s[shaders.StepLR] = float32(v.LearningRate)
	s[shaders.StepDecay] = float32(v.WeightDecay)
	s[shaders.StepCorrect1] = float32(1 / (1 - math.Pow(v.Beta1, t)))
	s[shaders.StepCorrect2] = float32(1 / math.Sqrt(1-math.Pow(v.Beta2, t)))
	s[shaders.StepLossScale] = float32(1 / float64(max(v.LossTokens, 1)))
	s[shaders.StepMaxNorm] = float32(v.MaxNorm)
	s[shaders.StepSlot] = math.Float32frombits(uint32(v.Step % HistorySlots))
	return ps.step.write(gpu.Bytes(s))
}

// StepResult is what the device recorded of a step.
type StepResult struct {
	Loss     float32 // mean over the positions that carry loss
	GradNorm float32 // global, before clipping
}

// History reads the results of steps from up to, not including, to; it waits
// for the device. At most HistorySlots steps are remembered.
func (ps *Params) History(from, to int64) ([]StepResult, error) {
	if to-from > HistorySlots {
		return nil, fmt.Errorf("the device remembers %d steps, not %d", HistorySlots, to-from)
	}
	all := make([]float32, 2*HistorySlots)
	if err := ps.history.read(gpu.Bytes(all)); err != nil {
		return nil, err
	}
	out := make([]StepResult, 0, to-from)
	for s := from; s < to; s++ {
		i := 2 * (s % HistorySlots)
		out = append(out, StepResult{all[i], all[i+1]})
	}
	return out, nil
}

// once lays out, runs and releases a program.
func (ps *Params) once(dev *gpu.Device, e *emitter, label string) error {
	if len(e.calls) == 0 {
		return e.err
	}
	scratch, err := layOut(e)
	if err != nil {
		return err
	}
	if err := scratch.allocate(dev); err != nil {
		return err
	}
	defer scratch.release()
	p, err := assemble(dev, label, e.calls)
	if err != nil {
		return err
	}
	defer p.Release()
	if err := p.Run(); err != nil {
		return err
	}
	return dev.Wait()
}
