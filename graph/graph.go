package graph

import (
	"fmt"

	"bitnet/shaders"
)

// Graph is a model over one micro-batch: the inputs, the operations in order,
// and what they produce. Operations are methods that declare their result and
// record how to run forward and backward.
type Graph struct {
	params     *Params
	batch, seq int
	nodes      []node
	inputs     *arena // written by the host: ids, targets, tables
	inputList  []*Tensor
	constants  []constant
	err        error // the first mistake in building

	tokens, order, targets *Tensor
	loss                   *Tensor // [tokens, 1], of each position
	logits, rows           *Tensor // of chosen rows, for generation
	ropeTable              *Tensor

	cache      *Cache // nil for whole sequences
	attentions int    // operations that use the cache so far
}

type node struct {
	name     string
	forward  func(*emitter)
	backward func(*emitter)
}

// constant is a tensor that is filled once.
type constant struct {
	t      *Tensor
	values []float32
}

// New starts a graph over batch sequences of seq tokens each.
func New(ps *Params, batch, seq int) *Graph {
	g := &Graph{params: ps, batch: batch, seq: seq, inputs: &arena{name: "batch", limit: ps.Limits.Buffer}}
	g.tokens = g.input("tokens", U32, 1, g.Tokens())
	g.order = g.input("token order", U32, 1, g.Tokens())
	g.targets = g.input("targets", U32, 1, g.Tokens())
	return g
}

// Tokens is the number of positions of a micro-batch.
func (g *Graph) Tokens() int { return g.batch * g.seq }

func (g *Graph) fail(format string, args ...any) {
	if g.err == nil {
		g.err = fmt.Errorf(format, args...)
	}
}

// input declares a tensor that is not computed by the program.
func (g *Graph) input(name string, d DType, rows, cols int) *Tensor {
	t := &Tensor{Name: name, DType: d, Rows: rows, Cols: cols}
	if err := g.inputs.append(t); err != nil {
		g.fail("%w", err)
	}
	g.inputList = append(g.inputList, t)
	return t
}

func tensor(name string, d DType, rows, cols int) *Tensor {
	return &Tensor{Name: name, DType: d, Rows: rows, Cols: cols}
}

func (g *Graph) add(name string, forward, backward func(*emitter)) {
	g.nodes = append(g.nodes, node{name, forward, backward})
}

// call is one kernel over tensors.
type call struct {
	op   string // the operation that asked for it
	src  shaders.Source
	args []arg
}

// arg is a tensor or some of its rows.
type arg struct {
	t           *Tensor
	first, rows int // rows 0: all of them
}

func whole(t *Tensor) arg { return arg{t: t} }

// height is the number of its rows.
func (x arg) height() int {
	if x.rows > 0 {
		return x.rows
	}
	return x.t.Rows
}

func wholes(ts ...*Tensor) []arg {
	out := make([]arg, len(ts))
	for i, t := range ts {
		out[i] = whole(t)
	}
	return out
}

// emitter turns operations into calls. It keeps which tensor holds the
// gradient of which, so that the first contribution to a gradient sets it and
// the later ones add to it.
type emitter struct {
	target    shaders.Target
	limits    Limits
	precision Precision
	tuning    Tuning
	products  []tunable // that have several variants
	training  bool
	op        string
	calls     []call
	grads     map[*Tensor]*Tensor
	err       error
}

// run emits one kernel; the arguments are its bindings in order.
func (e *emitter) run(src shaders.Source, args ...*Tensor) {
	e.runRows(src, wholes(args...)...)
}

// runRows does the same over rows of tensors.
func (e *emitter) runRows(src shaders.Source, args ...arg) {
	if len(args) != len(src.Names) {
		e.fail("%s: %d tensors for the bindings %v", src.Label, len(args), src.Names)
		return
	}
	e.calls = append(e.calls, call{e.op, src, args})
}

func (e *emitter) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf("%s: %w", e.op, fmt.Errorf(format, args...))
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

// passGrad makes from's gradient the gradient of to as well, where an
// operation adds to into from unchanged. Nothing may read from's gradient
// after this but through to.
func (e *emitter) passGrad(from, to *Tensor) {
	if e.grads[to] != nil {
		e.fail("%s is used again after a residual sum took it", to.Name)
		return
	}
	e.grads[to] = e.grad(from)
}

// forward emits all operations in order.
func (g *Graph) forward(e *emitter) {
	for _, n := range g.nodes {
		e.op = n.name
		n.forward(e)
	}
}

// backward emits the gradients in reverse order.
func (g *Graph) backward(e *emitter) {
	for i := len(g.nodes) - 1; i >= 0; i-- {
		if n := g.nodes[i]; n.backward != nil {
			e.op = n.name
			n.backward(e)
		}
	}
}
