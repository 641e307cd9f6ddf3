package graph

import (
	"errors"

	"bitnet/gpu"
	"bitnet/shaders"
	"bitnet/shaders/optimizer"
	"bitnet/shaders/ternary"
)

// ternaryRun is a run of parameters that the same dispatches quantise: their
// weights lie in one slab, and so do their codes and their scales, each within
// what a kernel can bind.
type ternaryRun struct {
	kernels               ternary.Quantize
	places                *Tensor
	weights, codes, scale *Tensor // from the first to the last of them
}

// layoutRuns cuts the ternary parameters into as few runs as bindings allow.
func (ps *Params) layoutRuns() error {
	ps.runs = nil
	for _, p := range ps.list {
		if !p.ternary || p.frozen {
			continue
		}
		for _, b := range p.stored() {
			last := len(ps.runs) - 1
			if last < 0 || !ps.runs[last].extend(p, b, ps.Limits.Binding) {
				ps.runs = append(ps.runs, &ternaryRun{
					kernels: ternary.Quantize{Target: ps.Target},
					weights: extent(b.master), codes: extent(p.codes), scale: extent(p.scale),
				})
				last++
			}
			ps.runs[last].add(p, b)
		}
	}
	for _, r := range ps.runs {
		r.places = &Tensor{Name: "places of ternary weights", DType: U32, Rows: 1, Cols: len(r.kernels.Places())}
		if err := ps.small.append(r.places); err != nil {
			return err
		}
	}
	return nil
}

// extent is the range that a tensor occupies, as words.
func extent(t *Tensor) *Tensor {
	return &Tensor{Name: t.Name, Rows: 1, Cols: int(t.bytes() / 4), arena: t.arena, slab: t.slab, offset: t.offset}
}

// extend makes room for another parameter's block, if it can.
func (r *ternaryRun) extend(p, b *Param, limit int64) bool {
	pairs := [][2]*Tensor{{r.weights, b.master}, {r.codes, p.codes}, {r.scale, p.scale}}
	for _, x := range pairs {
		if x[0].slab != x[1].slab || x[1].offset+x[1].bytes()-x[0].offset > limit {
			return false
		}
	}
	for _, x := range pairs {
		x[0].Cols = int(x[1].offset+x[1].bytes()-x[0].offset) / 4
	}
	return true
}

// add takes a parameter's block, whose rows have their places in the codes of all.
func (r *ternaryRun) add(p, b *Param) {
	x := ternary.Projection{
		K:      p.Cols,
		Weight: int(b.master.offset-r.weights.offset) / 4,
		Code:   int(p.codes.offset-r.codes.offset)/4 + b.first*shaders.Words16(p.Cols),
		Scale:  int(p.scale.offset-r.scale.offset)/4 + b.first,
	}
	for _, part := range b.Parts {
		x.Rows = part.Rows
		r.kernels.Projections = append(r.kernels.Projections, x)
		x.Weight += x.Rows * x.K
		x.Code += x.Rows * shaders.Words16(x.K)
		x.Scale += x.Rows
	}
}

// writePlaces writes where everything lies, for the kernels to read.
func (ps *Params) writePlaces() error {
	for _, r := range ps.runs {
		if err := r.places.write(gpu.Bytes(r.kernels.Places())); err != nil {
			return err
		}
	}
	for _, o := range ps.orthogonal {
		if err := o.places.write(gpu.Bytes(optimizer.Places(o.list))); err != nil {
			return err
		}
	}
	return nil
}

// emitQuantize emits the ternary form of all parameters that have one.
func (ps *Params) emitQuantize(e *emitter) {
	e.op = "quantize weights"
	for _, r := range ps.runs {
		part := tensor("absmean sums", F32, 1, r.kernels.Parts())
		e.run(r.kernels.AbsMean(), r.places, r.weights, part)
		e.run(r.kernels.Scale(), r.places, part, r.scale)
		e.run(r.kernels.Pack(), r.places, r.weights, r.scale, r.codes)
	}
}

// Quantize computes the ternary form of all parameters from their values, after
// these were written.
func (ps *Params) Quantize(dev *gpu.Device) error {
	if err := ps.onDevice(); err != nil {
		return err
	}
	if ps.storage == ForInference {
		return errors.New("the parameters are laid out for inference, without values to quantise: use WriteTernary")
	}
	e := newEmitter(ps, false)
	ps.emitQuantize(e)
	return ps.once(dev, e, "quantize weights")
}
