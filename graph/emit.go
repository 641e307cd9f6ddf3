package graph

import (
	"fmt"

	"bitnet/gpu"
	"bitnet/shaders"
)

// call is one kernel over tensors.
type call struct {
	op   string // the operation that emitted it
	src  shaders.Source
	args []arg // the bindings of src in order

	again    bool              // it computes in the backward pass what the forward pass did not keep
	product  string            // key of the product that it computes, "" for other kernels
	variants []shaders.Variant // of the product, for this call; src is the first
}

// arg is a tensor or some of its rows.
type arg struct {
	t           *Tensor
	first, rows int // rows 0: all of them
}

func whole(t *Tensor) arg { return arg{t: t} }

func wholes(ts ...*Tensor) []arg {
	out := make([]arg, len(ts))
	for i, t := range ts {
		out[i] = whole(t)
	}
	return out
}

// height is the number of its rows.
func (x arg) height() int {
	if x.rows > 0 {
		return x.rows
	}
	return x.t.Rows
}

// bytes is the offset in the tensor's slab and the size.
func (x arg) bytes() (offset, size int64) {
	if x.rows == 0 {
		return x.t.offset, x.t.bytes()
	}
	row := 4 * int64(x.t.DType.rowWords(x.t.Cols))
	return x.t.offset + int64(x.first)*row, int64(x.rows) * row
}

// binding resolves an argument to a range of a buffer.
func (x arg) binding() (gpu.Binding, error) {
	b, err := x.t.buffer()
	offset, size := x.bytes()
	return gpu.Binding{Buffer: b, Offset: offset, Size: size}, err
}

// dispatch compiles a call for a device.
func (c call) dispatch(dev *gpu.Device) (gpu.Dispatch, error) {
	k, err := CompileKernel(dev, c.src)
	if err != nil {
		return gpu.Dispatch{}, err
	}
	d := gpu.Dispatch{Kernel: k, Groups: c.src.Groups, Label: c.src.Label}
	d.Bindings, err = c.bindings()
	return d, err
}

func (c call) bindings() ([]gpu.Binding, error) {
	out := make([]gpu.Binding, len(c.args))
	for i, x := range c.args {
		var err error
		if out[i], err = x.binding(); err != nil {
			return nil, fmt.Errorf("%s: %w", c.op, err)
		}
	}
	return out, nil
}

// assemble compiles calls into a program of a device.
func assemble(dev *gpu.Device, label string, calls []call) (*gpu.Program, error) {
	ds := make([]gpu.Dispatch, len(calls))
	for i, c := range calls {
		var err error
		if ds[i], err = c.dispatch(dev); err != nil {
			return nil, err
		}
	}
	return dev.NewProgram(label, ds)
}

// emitter turns operations into calls. It keeps which tensor holds the
// gradient of which, so that the first contribution to a gradient sets it and
// the later ones add to it.
type emitter struct {
	target    shaders.Target
	limits    Limits
	precision Precision
	products  []Product // that have several variants
	training  bool
	op        string
	calls     []call
	grads     map[*Tensor]*Tensor
	err       error
}

func newEmitter(ps *Params, training bool) *emitter {
	return &emitter{target: ps.Target, limits: ps.Limits, precision: ps.Precision, training: training, grads: map[*Tensor]*Tensor{}}
}

// run emits one kernel; the arguments are its bindings in order.
func (e *emitter) run(src shaders.Source, args ...*Tensor) {
	e.runRows(src, wholes(args...)...)
}

// runRows does the same over rows of tensors.
func (e *emitter) runRows(src shaders.Source, args ...arg) {
	e.emit(call{op: e.op, src: src, args: args})
}

func (e *emitter) emit(c call) {
	if len(c.args) != len(c.src.Names) {
		e.fail("%s: %d tensors for the bindings %v", c.src.Label, len(c.args), c.src.Names)
		return
	}
	for i, x := range c.args {
		if x.t == nil {
			e.fail("%s: the parameters keep no tensor for the binding %s: lay them out for what the graph does", c.src.Label, c.src.Names[i])
			return
		}
	}
	e.calls = append(e.calls, c)
}

func (e *emitter) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf("%s: %w", e.op, fmt.Errorf(format, args...))
	}
}

// inOneBinding refuses a parameter that lies in blocks, for operations that take it whole.
func (e *emitter) inOneBinding(p *Param) {
	if p.blocks != nil {
		e.fail("%s [%d, %d] is larger than the adapter binds at once, which only works without a teacher and without quantize_ramp", p.Parts[0].Name, p.Rows, p.Cols)
	}
}

// grad is the finished gradient of an operation's result.
func (e *emitter) grad(t *Tensor) *Tensor {
	g := e.grads[t]
	if g == nil {
		e.fail("nothing depends on %s, so it has no gradient", t.Name)
		return tensor(t.Name+" grad", F32, t.Rows, t.Cols)
	}
	return g
}

// gradOut is where to put a contribution to t's gradient, and whether to add
// it to what is there.
func (e *emitter) gradOut(t *Tensor) (grad *Tensor, accumulate bool) {
	if g := e.grads[t]; g != nil {
		return g, true
	}
	g := tensor(t.Name+" grad", F32, t.Rows, t.Cols)
	e.grads[t] = g
	return g, false
}

// overwrites makes the place of t that of its gradient as well, where that is
// possible: t is an activation, and nothing has contributed to its gradient.
func (e *emitter) overwrites(t *Tensor) bool {
	if t.arena != nil || e.grads[t] != nil {
		return false
	}
	e.grads[t] = t
	return true
}

// passGrad makes from's gradient the gradient of to as well, where an
// operation adds to into from unchanged. After this, from's gradient may be
// read only as that of to.
func (e *emitter) passGrad(from, to *Tensor) {
	if e.grads[to] != nil {
		e.fail("%s is used again after a residual sum took it", to.Name)
		return
	}
	e.grads[to] = e.grad(from)
}
