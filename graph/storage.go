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

// placeParam gives a parameter a place for each form that is stored.
func (ps *Params) placeParam(p *Param) error {
	name := p.Parts[0].Name
	var err error
	place := func(a *arena, name string, d DType, rows, cols int) *Tensor {
		t := tensor(name, d, rows, cols)
		switch {
		case err != nil:
		case t.bytes() > ps.Limits.Binding:
			err = fmt.Errorf("%s [%d, %d] needs %d MiB, more than this adapter binds at once (%d MiB)",
				t.Name, t.Rows, t.Cols, t.bytes()>>20, ps.Limits.Binding>>20)
		default:
			err = a.append(t)
		}
		return t
	}
	switch {
	case p.ternary && (p.frozen || ps.storage == ForInference):
	case p.frozen:
		p.master = place(ps.kept, name, F32, p.Rows, p.Cols)
	default:
		p.master = place(ps.masters, name, F32, p.Rows, p.Cols)
	}
	if ps.storage.trains() && !p.frozen {
		p.grad = place(ps.grads, name+" grad", F32, p.Rows, p.Cols)
		if ps.storage != ForTraining8 {
			p.m = place(ps.ms, name+" m", F32, p.Rows, p.Cols)
		}
		if p.hasSecond(ps.storage) {
			p.v = place(ps.vs, name+" v", F32, p.Rows, p.Cols)
		}
	}
	if p.ternary {
		p.codes = place(ps.codes, name+" codes", Ternary, p.Rows, p.Cols)
		p.scale = place(ps.scales, name+" scale", F32, 1, p.Rows)
	} else if ps.storage == ForInference && p.large() {
		p.codes = place(ps.codes, name+" codes", Int8, p.Rows, p.Cols)
		p.scale = place(ps.scales, name+" scale", F32, 1, p.Rows)
	}
	return err
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
