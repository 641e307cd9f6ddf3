package graph

import (
	"fmt"

	"bitnet/gpu"
	"bitnet/shaders"
)

// Part is one named matrix of a Param: Rows of its rows.
type Part struct {
	Name string
	Rows int
}

// Param is a trained matrix [Rows, Cols] in float32. Projections that share an
// input are one Param, their rows one after another, and each is a Part.
type Param struct {
	Rows, Cols int
	Parts      []Part
	decay      bool

	master, grad, m, v *Tensor
	ternary            bool
	codes, scale       *Tensor // the quantised form, of ternary params
}

// Params are the parameters of a model, their gradients, the optimizer's
// state and their ternary form, each in an arena of its own. Several graphs
// can use the same Params.
type Params struct {
	Target    shaders.Target
	Limits    Limits
	Precision Precision // of the graphs that are planned from now on
	Tuning    Tuning    // chooses the variants of their products

	list                   []*Param // decayed ones first, once laid out
	masters, grads, ms, vs *arena
	codes, scales          *arena // the ternary form
	runs                   []*ternaryRun
	step, state, history   *Tensor
	small                  *arena
	stepValues             [shaders.StepLen]float32 // scratch of SetStep
}

// Limits are what graphs must know of an adapter: bytes, and what it multiplies fast.
type Limits struct {
	Binding int64 // of one storage binding
	Buffer  int64 // of one buffer
	Units   shaders.MatrixUnits
	// PackedDot says that kernels can multiply four bytes at once.
	PackedDot bool
}

// LimitsOf takes them from an adapter.
func LimitsOf(a gpu.Adapter) Limits {
	return Limits{Binding: a.Limits.BindingSize, Buffer: a.Limits.BufferSize, Units: UnitsOf(a), PackedDot: a.Has(gpu.PackedDot)}
}

// TargetOf says which layout of kernels suits an adapter.
func TargetOf(a gpu.Adapter) shaders.Target {
	switch {
	case a.Kind != gpu.CPU:
		return shaders.GPU
	case a.Has(gpu.UniformTable):
		return shaders.CPUTable
	}
	return shaders.CPU
}

// NewParams starts an empty set.
func NewParams(target shaders.Target, limits Limits) *Params {
	return &Params{Target: target, Limits: limits}
}

// Matrix declares a float matrix [rows, cols] that weight decay applies to.
func (ps *Params) Matrix(name string, rows, cols int) *Param {
	return ps.add(&Param{Rows: rows, Cols: cols, Parts: []Part{{name, rows}}, decay: true})
}

// Vector declares a vector of n elements without weight decay.
func (ps *Params) Vector(name string, n int) *Param {
	return ps.add(&Param{Rows: 1, Cols: n, Parts: []Part{{name, 1}}})
}

// Ternary declares projections of inputs of k features that share the input;
// each is quantised by its own mean absolute value.
func (ps *Params) Ternary(k int, parts ...Part) *Param {
	p := &Param{Cols: k, Parts: parts, decay: true, ternary: true}
	for _, part := range parts {
		p.Rows += part.Rows
	}
	return ps.add(p)
}

func (ps *Params) add(p *Param) *Param {
	ps.list = append(ps.list, p)
	return p
}

// All lists the parameters, decayed ones first.
func (ps *Params) All() []*Param { return ps.list }

// Count is the number of trained values.
func (ps *Params) Count() int64 {
	var n int64
	for _, p := range ps.list {
		n += int64(p.Rows) * int64(p.Cols)
	}
	return n
}

// HistorySlots is how many steps the device remembers between two readings.
const HistorySlots = 1024

// Layout places everything; training adds gradients and optimizer state.
func (ps *Params) Layout(training bool) error { return ps.layout(training, true) }

// LayoutTernary places what inference needs: float values of matrices and
// vectors, and of ternary parameters the quantised form alone, which
// WriteTernary sets.
func (ps *Params) LayoutTernary() error { return ps.layout(false, false) }

func (ps *Params) layout(training, masters bool) error {
	var decayed, others []*Param
	for _, p := range ps.list {
		if p.decay {
			decayed = append(decayed, p)
		} else {
			others = append(others, p)
		}
	}
	ps.list = append(decayed, others...)

	flat := func(name string) *arena { return &arena{name: name, limit: ps.Limits.Buffer} }
	place := func(a *arena, p *Param, kind string) (*Tensor, error) {
		t := &Tensor{Name: p.Parts[0].Name + kind, Rows: p.Rows, Cols: p.Cols}
		if t.bytes() > ps.Limits.Binding {
			return nil, fmt.Errorf("%s [%d, %d] needs %d MiB, more than this adapter binds at once (%d MiB)",
				t.Name, p.Rows, p.Cols, t.bytes()>>20, ps.Limits.Binding>>20)
		}
		return t, a.append(t)
	}
	ps.masters, ps.codes, ps.scales, ps.small = flat("parameters"), flat("ternary weights"), flat("ternary scales"), flat("step")
	if training {
		ps.grads, ps.ms, ps.vs = flat("parameter gradients"), flat("optimizer m"), flat("optimizer v")
	}
	for _, p := range ps.list {
		var err error
		if masters || !p.ternary {
			if p.master, err = place(ps.masters, p, ""); err != nil {
				return err
			}
		}
		if training {
			for _, x := range []struct {
				t    **Tensor
				a    *arena
				kind string
			}{{&p.grad, ps.grads, " grad"}, {&p.m, ps.ms, " m"}, {&p.v, ps.vs, " v"}} {
				if *x.t, err = place(x.a, p, x.kind); err != nil {
					return err
				}
			}
		}
		if p.ternary {
			p.codes = &Tensor{Name: p.Parts[0].Name + " codes", DType: Ternary, Rows: p.Rows, Cols: p.Cols}
			p.scale = &Tensor{Name: p.Parts[0].Name + " scale", Rows: 1, Cols: p.Rows}
			if err := ps.codes.append(p.codes); err != nil {
				return err
			}
			if err := ps.scales.append(p.scale); err != nil {
				return err
			}
		}
	}
	ps.step = &Tensor{Name: "step", Rows: 1, Cols: shaders.StepLen}
	ps.state = &Tensor{Name: "state", Rows: 1, Cols: shaders.StateLen}
	ps.history = &Tensor{Name: "history", Rows: HistorySlots, Cols: 2}
	for _, t := range []*Tensor{ps.step, ps.state, ps.history} {
		if err := ps.small.append(t); err != nil {
			return err
		}
	}
	if masters {
		return ps.layoutRuns()
	}
	return nil
}

func (ps *Params) arenas() []*arena {
	all := []*arena{ps.masters, ps.codes, ps.scales, ps.small}
	if ps.grads != nil {
		all = append(all, ps.grads, ps.ms, ps.vs)
	}
	return all
}

// Allocate makes the buffers on a device.
func (ps *Params) Allocate(dev *gpu.Device) error {
	for _, a := range ps.arenas() {
		if err := a.allocate(dev); err != nil {
			return err
		}
	}
	return ps.writePlaces()
}

// Release frees the buffers.
func (ps *Params) Release() {
	for _, a := range ps.arenas() {
		a.release()
	}
}

// Slot names one of a parameter's stored forms.
type Slot int

const (
	Master Slot = iota // the value
	Grad               // the gradient so far
	FirstMoment
	SecondMoment
)

func (p *Param) slot(s Slot) *Tensor {
	return [...]*Tensor{p.master, p.grad, p.m, p.v}[s]
}

// Write sets one form of the parameter, [Rows, Cols] row by row.
func (p *Param) Write(s Slot, values []float32) error {
	return p.slot(s).write(gpu.Bytes(values))
}

// Read gets one form of the parameter into values, [Rows, Cols].
func (p *Param) Read(s Slot, values []float32) error {
	return p.slot(s).read(gpu.Bytes(values))
}

// ReadRows gets some rows of one form, from row first on.
func (p *Param) ReadRows(s Slot, first int, values []float32) error {
	t := p.slot(s)
	return t.arena.slabs[t.slab].Read(t.offset+4*int64(first)*int64(p.Cols), gpu.Bytes(values))
}

// WriteTernary sets the quantised form of one part of a ternary parameter,
// counted from 0: value[r, c] = (code - 1) scale, codes 2 bits each, row by row,
// element c of a row at bits 2 (c mod 16) of its word c/16.
func (p *Param) WriteTernary(part int, codes []uint32, scale float32) error {
	first := 0
	for _, before := range p.Parts[:part] {
		first += before.Rows
	}
	n := p.Parts[part].Rows
	words := int64(shaders.Words16(p.Cols))
	if int64(len(codes)) != int64(n)*words {
		return fmt.Errorf("%s [%d, %d] has %d words of codes, not %d", p.Parts[part].Name, n, p.Cols, int64(n)*words, len(codes))
	}
	scales := make([]float32, n)
	for i := range scales {
		scales[i] = scale
	}
	slab := p.codes.arena.slabs[p.codes.slab]
	if err := slab.Write(p.codes.offset+4*int64(first)*words, gpu.Bytes(codes)); err != nil {
		return err
	}
	return p.scale.arena.slabs[p.scale.slab].Write(p.scale.offset+4*int64(first), gpu.Bytes(scales))
}

// IsVector says whether it was declared by Vector.
func (p *Param) IsVector() bool { return !p.decay }

// IsTernary says whether it was declared by Ternary.
func (p *Param) IsTernary() bool { return p.ternary }
