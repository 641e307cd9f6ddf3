package graph

import (
	"fmt"

	"bitnet/gpu"
	"bitnet/shaders/optimizer"
)

// GradientMeter measures the gradients of a part of a step: what its first
// micro-batches have summed. Beside the norm of the whole step, which an update
// measures, that tells how much the gradients of samples differ.
type GradientMeter struct {
	measure, discard *gpu.Program
	kept             *arena
	norms            *Tensor // [1, HistorySlots]
}

// NewGradientMeter compiles a meter; the parameters must be allocated, for training.
func (ps *Params) NewGradientMeter(dev *gpu.Device) (_ *GradientMeter, err error) {
	if err := ps.onDevice(); err != nil {
		return nil, err
	}
	if !ps.storage.trains() {
		return nil, fmt.Errorf("the parameters are laid out for %s and have no gradients", ps.storage)
	}
	m := &GradientMeter{kept: &arena{name: "gradient meter", limit: ps.Limits.Buffer}, norms: tensor("norms of parts", F32, 1, HistorySlots)}
	measure, discard := newEmitter(ps, false), newEmitter(ps, false)
	measure.op, discard.op = "measure gradients", "discard gradients"
	part := ps.emitSquares(measure)
	measure.run(optimizer.PartialNorm{Target: ps.Target, Parts: part.Cols}.Source(), part, ps.step, m.norms)
	for _, r := range ps.ranges() {
		discard.run(optimizer.Discard{Target: ps.Target, N: r.n}.Source(), r.of(r.first.grad), ps.state)
	}
	defer func() {
		if err != nil {
			m.Release()
		}
	}()
	for _, t := range []*Tensor{part, m.norms} {
		if err := m.kept.append(t); err != nil {
			return nil, err
		}
	}
	if err := m.kept.allocate(dev); err != nil {
		return nil, err
	}
	if m.measure, err = assemble(dev, measure.op, measure.calls); err != nil {
		return nil, err
	}
	m.discard, err = assemble(dev, discard.op, discard.calls)
	return m, err
}

// Measure records the norm of the gradients that MicroBatch has summed since the last
// update, in the place of the step of SetStep. It does not wait for the device.
func (m *GradientMeter) Measure() error { return m.measure.Run() }

// Discard sets those gradients and their loss to zero, as if no micro-batch had run.
func (m *GradientMeter) Discard() error { return m.discard.Run() }

// Norms are those that Measure recorded for steps, counted from 0: some of the last
// HistorySlots. It waits for the device.
func (m *GradientMeter) Norms(steps []int64) ([]float32, error) {
	all := make([]float32, HistorySlots)
	if err := m.norms.read(gpu.Bytes(all)); err != nil {
		return nil, err
	}
	out := make([]float32, len(steps))
	for i, s := range steps {
		out[i] = all[s%HistorySlots]
	}
	return out, nil
}

// Release frees the meter's buffers.
func (m *GradientMeter) Release() {
	for _, p := range []*gpu.Program{m.measure, m.discard} {
		if p != nil {
			p.Release()
		}
	}
	m.measure, m.discard = nil, nil
	m.kept.release()
}
