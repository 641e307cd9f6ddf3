package graph

import (
	"fmt"

	"bitnet/gpu"
)

// Graph is a model over one micro-batch: the inputs, the operations in order,
// and what they produce. Operations are methods that declare their result and
// record how to run forward and backward. A mistake in building is kept, and
// planning or compiling returns the first one.
type Graph struct {
	params     *Params
	batch, seq int
	nodes      []node
	beside     []neighbour
	inputs     *arena // written by the host: ids, targets, tables
	constants  []constant
	planned    bool
	err        error // the first mistake in building

	memory int64 // bound of a training step: LimitMemory

	tokens, order, targets *Tensor
	begins                 *Tensor // of documents; nil where a row is one sequence
	head

	cache      *Cache  // nil for whole sequences
	places     *Tensor // [2, tokens] with a cache: position and sequence of each token
	attentions int     // operations that use the cache so far
}

type node struct {
	name     string
	forward  func(*emitter)
	backward func(*emitter)
}

// neighbour has the parameters of a model that takes part in a step
type neighbour struct {
	name   string
	params *Params
}

// constant is an input that is written once.
type constant struct {
	t      *Tensor
	values []float32
}

// New starts a graph over batch sequences of seq tokens each.
func New(ps *Params, batch, seq int) *Graph {
	g := &Graph{params: ps, batch: batch, seq: seq, memory: KeepAll,
		inputs: &arena{name: "batch", limit: ps.Limits.Buffer}}
	g.tokens = g.input("tokens", U32, 1, g.Tokens())
	g.order = g.input("token order", U32, 1, g.Tokens())
	g.targets = g.input("targets", U32, 1, g.Tokens())
	return g
}

// NewPacked is New for rows that hold several documents one after the other: a
// token sees those of its own document only, and positions begin again with each.
// Programs get their micro-batches by LoadPacked.
func NewPacked(ps *Params, batch, seq int) *Graph {
	g := New(ps, batch, seq)
	g.begins = g.input("begins of documents", U32, 1, g.Tokens())
	return g
}

// Tokens is the number of positions of a micro-batch.
func (g *Graph) Tokens() int { return g.batch * g.seq }

func (g *Graph) fail(format string, args ...any) {
	if g.err == nil {
		g.err = fmt.Errorf(format, args...)
	}
}

// input declares a tensor that keeps its place while programs run: one that the
// host writes or reads.
func (g *Graph) input(name string, d DType, rows, cols int) *Tensor {
	t := tensor(name, d, rows, cols)
	if err := g.inputs.append(t); err != nil {
		g.fail("%w", err)
	}
	return t
}

// constant declares a float table that compiling fills with values. Two
// constants of the same name and shape are one.
func (g *Graph) constant(name string, rows, cols int, values func() []float32) *Tensor {
	for _, c := range g.constants {
		if c.t.Name == name && c.t.Rows == rows && c.t.Cols == cols {
			return c.t
		}
	}
	t := g.input(name, F32, rows, cols)
	g.constants = append(g.constants, constant{t, values()})
	return t
}

func (g *Graph) writeConstants() error {
	for _, c := range g.constants {
		if err := c.t.write(gpu.Bytes(c.values)); err != nil {
			return err
		}
	}
	return nil
}

// add records an operation. Its functions emit the kernels of the forward and
// the backward pass; backward is nil for an operation without a gradient.
func (g *Graph) add(name string, forward, backward func(*emitter)) {
	if g.planned {
		g.fail("%s: the graph is planned already: declare all operations before planning", name)
	}
	g.nodes = append(g.nodes, node{name, forward, backward})
}

// Beside declares operations over the parameters of another model, which a step reads and
// does not train: they run forward only, and nothing goes back through them. The
// parameters need to be allocated before the graph is compiled. The name is that of the
// model in Plan.Memory and in the names of its operations.
func (g *Graph) Beside(name string, ps *Params, declare func()) {
	g.beside = append(g.beside, neighbour{name, ps})
	first := len(g.nodes)
	declare()
	for i := range g.nodes[first:] {
		n := &g.nodes[first+i]
		n.name, n.backward = name+" "+n.name, nil
	}
}

// arenas are those that a step holds, but for its activations.
func (g *Graph) arenas() []*arena {
	all := g.params.arenas()
	for _, b := range g.beside {
		all = append(all, b.params.arenas()...)
	}
	return append(all, g.inputs)
}

// onDevice checks that programs can use all parameters.
func (g *Graph) onDevice() error {
	if err := g.params.onDevice(); err != nil {
		return err
	}
	for _, b := range g.beside {
		if err := b.params.onDevice(); err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
	}
	return nil
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
