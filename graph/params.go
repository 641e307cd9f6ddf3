package graph

import (
	"errors"
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
	frozen     bool // it is not trained: Params.Freeze
	group      int  // that it is clipped with: Params.ClipBy

	master, grad, m, v *Tensor
	ternary            bool
	codes, scale       *Tensor  // the quantised form, of ternary params and of large matrices for inference
	m8, r8             *moment8 // instead of m and v, of ForTraining8

	blocks []*Param // of its rows, which have the tensors instead where it is too large for one: blocks.go
	first  int      // row of a block in its parameter
}

// Params are the parameters of a model, their gradients, the optimizer's
// state and their ternary form, each in a separate arena. Several graphs can use
// the same Params.
type Params struct {
	Target    shaders.Target
	Limits    Limits
	Precision Precision // of the graphs that are planned from now on

	list       []*Param // decayed ones first, once laid out
	frozen     bool     // Freeze was called
	divergence bool     // RecordDivergence was called
	storage    Storage  // 0 before Layout
	allocated  bool
	err        error // the first mistake in declaring or laying out

	masters, grads, ms, vs *arena
	kept                   *arena // values of frozen parameters
	codes, scales          *arena // the ternary form
	runs                   []*ternaryRun
	orthogonal             []*orthogonal // of ForMuon
	step, state, history   *Tensor
	groups                 []string                 // that are clipped by themselves: ClipBy
	groupNorms             *Tensor                  // [HistorySlots, groups]
	small                  *arena                   // these four, and the places of matrices
	stepValues             [shaders.StepLen]float32 // scratch of SetStep
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
func (ps *Params) Ternary(k int, parts ...Part) *Param { return ps.projections("ternary", k, parts) }

// Linear declares float projections of inputs of k features that share the input.
func (ps *Params) Linear(k int, parts ...Part) *Param { return ps.projections("linear", k, parts) }

func (ps *Params) projections(kind string, k int, parts []Part) *Param {
	p := &Param{Cols: k, Parts: parts, decay: true, ternary: kind == "ternary"}
	for _, part := range parts {
		p.Rows += part.Rows
	}
	if len(parts) == 0 {
		p.Parts = []Part{{"projections without a part", 0}}
		ps.fail(fmt.Errorf("%s parameters need at least one part", kind))
	}
	return ps.add(p)
}

func (ps *Params) add(p *Param) *Param {
	if ps.storage != 0 {
		ps.fail(fmt.Errorf("%s is declared after Layout: declare all parameters before", p.Parts[0].Name))
		return p
	}
	ps.list = append(ps.list, p)
	return p
}

// Freeze keeps the parameters that are declared so far as they are: training
// computes no gradient for them, and they have no optimizer's state. Ternary ones have
// no values but only the ternary form, which WriteTernary sets. What is declared
// afterwards is trained.
func (ps *Params) Freeze() {
	if ps.storage != 0 {
		ps.fail(errors.New("parameters are frozen after Layout: call Freeze before"))
		return
	}
	ps.frozen = true
	for _, p := range ps.list {
		p.frozen = true
	}
}

// Trained lists the parameters that are not frozen, in the order of All.
func (ps *Params) Trained() []*Param {
	if !ps.frozen {
		return ps.list
	}
	var out []*Param
	for _, p := range ps.list {
		if !p.frozen {
			out = append(out, p)
		}
	}
	return out
}

func (ps *Params) fail(err error) {
	if ps.err == nil {
		ps.err = err
	}
}

// All lists the parameters, decayed ones first once they are laid out.
func (ps *Params) All() []*Param { return ps.list }

// Count is the number of trained values.
func (ps *Params) Count() int64 { return count(ps.Trained()) }

// Total is the number of all values, frozen ones included.
func (ps *Params) Total() int64 { return count(ps.list) }

func count(list []*Param) int64 {
	var n int64
	for _, p := range list {
		n += int64(p.size())
	}
	return n
}

// size is the number of its values.
func (p *Param) size() int { return p.Rows * p.Cols }

// IsVector reports whether it was declared by Vector.
func (p *Param) IsVector() bool { return !p.decay }

// IsTernary reports whether it was declared by Ternary.
func (p *Param) IsTernary() bool { return p.ternary }

// IsFrozen reports whether it was declared before Freeze: it is not trained.
func (p *Param) IsFrozen() bool { return p.frozen }

// Slot names one of a parameter's stored forms in float32.
type Slot int

const (
	Master Slot = iota // the value
	Grad               // the gradient so far
	FirstMoment
	SecondMoment // with ForMuon ternary parameters have none
)

func (s Slot) String() string {
	return [...]string{"value", "gradient", "first moment", "second moment"}[s]
}

// Keeps reports whether a form is stored.
func (p *Param) Keeps(s Slot) bool {
	p = p.stored()[0]
	if p.moment(s) != nil {
		return true
	}
	_, err := p.slot(s)
	return err == nil
}

// slot is the tensor of one form.
func (p *Param) slot(s Slot) (*Tensor, error) {
	if s < Master || s > SecondMoment {
		return nil, fmt.Errorf("parameters have no form number %d", s)
	}
	if p.moment(s) != nil {
		return nil, fmt.Errorf("the %s of %s has 8 bits: use Read, ReadRows and Write", s, p.Parts[0].Name)
	}
	t := [...]*Tensor{p.master, p.grad, p.m, p.v}[s]
	if t == nil {
		return nil, fmt.Errorf("%s is stored without its %s: choose a Storage in Layout that keeps it", p.Parts[0].Name, s)
	}
	return t, nil
}

func (p *Param) checkCount(n int) error {
	if n != p.size() {
		return fmt.Errorf("%s [%d, %d] has %d values, not %d", p.Parts[0].Name, p.Rows, p.Cols, p.size(), n)
	}
	return nil
}

// Write sets one form of the parameter, [Rows, Cols] row by row. A moment in 8 bits
// takes values near them; those that were read stay as they are.
func (p *Param) Write(s Slot, values []float32) error {
	if p.Keeps(s) {
		if err := p.checkCount(len(values)); err != nil {
			return err
		}
	}
	return p.eachBlock(0, values, func(b *Param, _ int, values []float32) error { return b.write(s, values) })
}

// write sets one form of what is stored in one tensor.
func (p *Param) write(s Slot, values []float32) error {
	if q := p.moment(s); q != nil {
		return q.write(values)
	}
	t, err := p.slot(s)
	if err != nil {
		return err
	}
	if s == Master && p.shortened() {
		if err := p.writeShort(values); err != nil {
			return err
		}
	}
	return t.write(gpu.Bytes(values))
}

// Read gets one form of the parameter into values, [Rows, Cols]. It waits for
// the device.
func (p *Param) Read(s Slot, values []float32) error {
	if err := p.checkCount(len(values)); err != nil {
		return err
	}
	return p.ReadRows(s, 0, values)
}

// ReadRows gets some rows of one form, starting with row first. It waits for
// the device.
func (p *Param) ReadRows(s Slot, first int, values []float32) error {
	return p.eachBlock(first*p.Cols, values, func(b *Param, at int, values []float32) error { return b.read(s, at, values) })
}

// read gets values of one form, from number at on, of what is stored in one tensor.
func (p *Param) read(s Slot, at int, values []float32) error {
	if q := p.moment(s); q != nil {
		if at < 0 || at+len(values) > p.size() {
			return fmt.Errorf("%s has %d values: there are no %d from number %d on", p.Parts[0].Name, p.size(), len(values), at)
		}
		return q.read(at, values)
	}
	t, err := p.slot(s)
	if err != nil {
		return err
	}
	return t.readAt(4*int64(at), gpu.Bytes(values))
}

// ReadFlat gets values of one form out of all trained parameters, as if these lay one
// after another in the order of All, without gaps: len(values) of them, starting
// with value number first. It waits for the device.
func (ps *Params) ReadFlat(s Slot, first int, values []float32) error {
	return ps.flat(s, first, values, (*gpu.Buffer).Read)
}

// WriteFlat is the reverse of ReadFlat. It does not wait.
func (ps *Params) WriteFlat(s Slot, first int, values []float32) error {
	return ps.flat(s, first, values, (*gpu.Buffer).Write)
}

// flat copies values of all parameters, in as few copies as memory allows.
func (ps *Params) flat(s Slot, first int, values []float32, copy func(*gpu.Buffer, int64, []byte) error) error {
	if first < 0 || int64(first)+int64(len(values)) > ps.Count() {
		return fmt.Errorf("%d values from number %d on are not in the %d of all parameters", len(values), first, ps.Count())
	}
	var buffer *gpu.Buffer // of the copy that is not made yet: values[done:at]
	var offset int64
	done, at := 0, 0
	flush := func() error {
		if at == done {
			return nil
		}
		err := copy(buffer, offset, gpu.Bytes(values[done:at]))
		done = at
		return err
	}
	for _, p := range storedOf(ps.Trained()) {
		if at == len(values) {
			break
		}
		if first >= p.size() {
			first -= p.size()
			continue
		}
		t, err := p.slot(s)
		if err != nil {
			return err
		}
		b, err := t.buffer()
		if err != nil {
			return err
		}
		from := t.offset + 4*int64(first)
		if b != buffer || from != offset+4*int64(at-done) {
			if err := flush(); err != nil {
				return err
			}
			buffer, offset = b, from
		}
		at += min(p.size()-first, len(values)-at)
		first = 0
	}
	return flush()
}

// WriteTernary sets the quantised form of one part of a ternary parameter,
// counted from 0: value[r, c] = (code - 1) scale, codes 2 bits each, row by row,
// element c of a row at bits 2 (c mod 16) of its word c/16.
func (p *Param) WriteTernary(part int, codes []uint32, scale float32) error {
	switch {
	case part < 0 || part >= len(p.Parts):
		return fmt.Errorf("%s has %d parts, and no part %d", p.Parts[0].Name, len(p.Parts), part)
	case !p.ternary || p.codes == nil:
		return fmt.Errorf("%s has no ternary form: declare it with Ternary, and call Layout before writing", p.Parts[part].Name)
	}
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
	if err := p.codes.writeAt(4*int64(first)*words, gpu.Bytes(codes)); err != nil {
		return err
	}
	return p.scale.writeAt(4*int64(first), gpu.Bytes(scales))
}
