package graph

import (
	"errors"
	"fmt"

	"bitnet/gpu"
	"bitnet/shaders"
)

// Storage is what is stored of the parameters.
type Storage int

const (
	// ForTraining keeps values, gradients, the optimizer's moments and the
	// ternary form.
	ForTraining Storage = iota + 1
	// ForEvaluation keeps values and the ternary form.
	ForEvaluation
	// ForInference keeps the values of matrices and vectors, and of ternary
	// parameters only the ternary form, which WriteTernary sets. Large matrices also
	// have a form in int8, for Graph.Logits to read.
	ForInference
	// ForMuon is ForTraining without the second moment of ternary parameters.
	ForMuon
	// ForTraining8 is ForTraining with both moments in 8 bits.
	ForTraining8
)

func (s Storage) String() string {
	return [...]string{"nothing", "training", "evaluation", "inference", "training with Muon", "training with moments in 8 bits"}[s]
}

// trains reports whether gradients and moments are stored.
func (s Storage) trains() bool { return s == ForTraining || s == ForMuon || s == ForTraining8 }

// Layout gives every parameter its places in memory. It is called once, after
// all parameters are declared and before any graph over them is planned; it
// needs no device.
func (ps *Params) Layout(s Storage) error {
	switch {
	case ps.err != nil:
		return ps.err
	case s < ForTraining || s > ForTraining8:
		return fmt.Errorf("there is no storage number %d", s)
	case ps.storage != 0:
		return fmt.Errorf("the parameters are laid out already, for %s", ps.storage)
	}
	ps.storage = s
	ps.err = ps.place()
	return ps.err
}

// place lays out all arenas.
func (ps *Params) place() error {
	var decayed, others []*Param
	for _, p := range ps.list {
		if p.decay {
			decayed = append(decayed, p)
		} else {
			others = append(others, p)
		}
	}
	ps.list = append(decayed, others...)

	flat := func(name string) *arena { return &arena{name: name, limit: ps.Limits.Buffer, align: ps.align()} }
	ps.masters, ps.codes, ps.scales, ps.small = flat("parameters"), flat("ternary weights"), flat("ternary scales"), flat("step")
	if ps.frozen {
		ps.kept = flat("frozen parameters")
	}
	if ps.storage.trains() {
		ps.grads, ps.ms, ps.vs = flat("parameter gradients"), flat("optimizer m"), flat("optimizer v")
	}
	for _, p := range ps.list {
		if err := ps.placeParam(p); err != nil {
			return err
		}
	}
	if ps.storage == ForTraining8 {
		if err := ps.placeMoments(); err != nil {
			return err
		}
	}
	ps.step = tensor("step", F32, 1, shaders.StepLen)
	ps.state = tensor("state", F32, 1, shaders.StateLen)
	ps.history = tensor("history", F32, HistorySlots, ps.finishStep().Columns())
	for _, t := range []*Tensor{ps.step, ps.state, ps.history} {
		if err := ps.small.append(t); err != nil {
			return err
		}
	}
	if ps.storage == ForInference {
		return nil
	}
	if err := ps.layoutRuns(); err != nil || ps.storage != ForMuon {
		return err
	}
	return ps.layoutOrthogonal()
}

// hasSecond reports whether a storage keeps its second moment.
func (p *Param) hasSecond(s Storage) bool { return s == ForTraining || s == ForMuon && !p.ternary }

// hasValues reports whether a storage keeps its values in float32.
func (p *Param) hasValues(s Storage) bool { return !p.ternary || !p.frozen && s != ForInference }

// placeParam gives a parameter a place for each form that is stored.
func (ps *Params) placeParam(p *Param) error {
	l := &placing{limit: ps.Limits.Binding}
	if p.hasValues(ps.storage) {
		p.blocks = ps.blocksOf(p)
		for _, b := range p.stored() {
			ps.placeValues(l, b)
		}
	}
	switch {
	case p.ternary:
		ps.placeCodes(l, p, Ternary)
	case ps.storage == ForInference && p.large():
		for _, b := range p.stored() {
			ps.placeCodes(l, b, Int8)
		}
	}
	return l.err
}

// placeValues places what is stored in float32, or of moments.
func (ps *Params) placeValues(l *placing, p *Param) {
	name := p.Parts[0].Name
	if p.frozen {
		p.master = l.place(ps.kept, name, F32, p.Rows, p.Cols)
		return
	}
	p.master = l.place(ps.masters, name, F32, p.Rows, p.Cols)
	if !ps.storage.trains() {
		return
	}
	p.grad = l.place(ps.grads, name+" grad", F32, p.Rows, p.Cols)
	if ps.storage != ForTraining8 {
		p.m = l.place(ps.ms, name+" m", F32, p.Rows, p.Cols)
	}
	if p.hasSecond(ps.storage) {
		p.v = l.place(ps.vs, name+" v", F32, p.Rows, p.Cols)
	}
}

// placeCodes places the quantised form.
func (ps *Params) placeCodes(l *placing, p *Param, d DType) {
	name := p.Parts[0].Name
	p.codes = l.place(ps.codes, name+" codes", d, p.Rows, p.Cols)
	p.scale = l.place(ps.scales, name+" scale", F32, 1, p.Rows)
}

// placing places tensors until one cannot be bound.
type placing struct {
	limit int64 // of one binding
	err   error
}

func (l *placing) place(a *arena, name string, d DType, rows, cols int) *Tensor {
	t := tensor(name, d, rows, cols)
	switch {
	case l.err != nil:
	case t.bytes() > l.limit:
		l.err = fmt.Errorf("%s [%d, %d] needs %d MiB, more than this adapter binds at once (%d MiB)",
			t.Name, t.Rows, t.Cols, t.bytes()>>20, l.limit>>20)
	default:
		l.err = a.append(t)
	}
	return t
}

func (ps *Params) arenas() []*arena {
	all := []*arena{ps.masters, ps.codes, ps.scales, ps.small}
	if ps.kept != nil {
		all = append(all, ps.kept)
	}
	if ps.storage.trains() {
		all = append(all, ps.grads, ps.ms, ps.vs)
	}
	return all
}

// laidOut checks that graphs can be planned over the parameters.
func (ps *Params) laidOut() error {
	if ps.err == nil && ps.storage == 0 {
		return errors.New("the parameters have no places in memory yet: call Layout first")
	}
	return ps.err
}

// onDevice checks that programs can use the parameters.
func (ps *Params) onDevice() error {
	if err := ps.laidOut(); err != nil {
		return err
	}
	if !ps.allocated {
		return errors.New("the parameters are not in a device's memory: call Allocate first")
	}
	return nil
}

// Allocate makes the buffers on a device, zeroed.
func (ps *Params) Allocate(dev *gpu.Device) error {
	if err := ps.laidOut(); err != nil {
		return err
	}
	if ps.allocated {
		return errors.New("the parameters are allocated already")
	}
	ps.allocated = true
	for _, a := range ps.arenas() {
		if err := a.allocate(dev); err != nil {
			ps.Release()
			return err
		}
	}
	if err := ps.writePlaces(); err != nil {
		ps.Release()
		return err
	}
	return nil
}

// Release frees the buffers. The parameters can be allocated again.
func (ps *Params) Release() {
	if !ps.allocated {
		return
	}
	for _, a := range ps.arenas() {
		a.release()
	}
	ps.allocated = false
}
