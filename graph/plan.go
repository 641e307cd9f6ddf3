package graph

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Plan is a graph laid out in memory: every call of a step, and where every
// tensor lies. It needs no device. It can be compiled once.
type Plan struct {
	graph       *Graph
	activations *arena
	emitted     []call // with the default of every product
	calls       []call // with the variants that Use chose
	products    []Product
	micro       int // calls of one micro-batch; the rest is the update
	compiled    bool
}

// PlanTraining plans forward, backward and the optimizer's update. A graph is
// planned once.
func (g *Graph) PlanTraining(opt Optimizer) (*Plan, error) {
	if err := g.ready(); err != nil {
		return nil, err
	}
	switch ps := g.params; {
	case opt == nil:
		return nil, errors.New("training needs an optimizer, such as AdamW")
	case g.cache != nil:
		return nil, errors.New("a graph over cached keys and values has no backward pass: build it with New to train")
	case g.loss == nil:
		return nil, errors.New("a graph without a loss cannot be trained")
	case !ps.storage.trains():
		return nil, fmt.Errorf("the parameters are laid out for %s and cannot be trained: call Layout(ForTraining)", ps.storage)
	case ps.storage != opt.Storage():
		return nil, fmt.Errorf("the parameters are laid out for %s, and the optimizer needs the layout for %s: pass its Storage to Layout", ps.storage, opt.Storage())
	}
	e := newEmitter(g.params, true)
	g.forward(e)
	forward := len(e.calls)
	g.backward(e)
	micro := len(e.calls)
	g.params.emitUpdate(e, opt)
	g.params.emitQuantize(e)
	if e.err != nil {
		return nil, e.err
	}
	limit, err := g.activationLimit()
	if err != nil {
		return nil, err
	}
	calls, err := recompute(e, forward, micro, limit)
	if err != nil {
		return nil, err
	}
	e.calls = append(calls[:len(calls):len(calls)], e.calls[micro:]...)
	return g.finish(e, len(calls))
}

// PlanForward plans only the forward pass. A graph is planned once.
func (g *Graph) PlanForward() (*Plan, error) {
	if err := g.ready(); err != nil {
		return nil, err
	}
	e := newEmitter(g.params, false)
	g.forward(e)
	return g.finish(e, len(e.calls))
}

// ready checks that the graph can be planned.
func (g *Graph) ready() error {
	switch {
	case g.err != nil:
		return g.err
	case g.planned:
		return errors.New("the graph is planned already: a second plan needs a graph of its own")
	}
	for _, b := range g.beside {
		if err := b.params.laidOut(); err != nil {
			return fmt.Errorf("%s: %w", b.name, err)
		}
	}
	return g.params.laidOut()
}

// finish makes a plan of all that was emitted.
func (g *Graph) finish(e *emitter, micro int) (*Plan, error) {
	g.planned = true
	activations, err := layOut(e)
	if err != nil {
		return nil, err
	}
	return &Plan{graph: g, activations: activations, emitted: e.calls, calls: slices.Clone(e.calls), products: e.products, micro: micro}, nil
}

// layOut finds the life of every tensor that has no place yet and packs them
// into one arena.
func layOut(e *emitter) (*arena, error) {
	if e.err != nil {
		return nil, e.err
	}
	a := &arena{name: "activations", limit: e.limits.Buffer}
	var list []*Tensor
	for i, c := range e.calls {
		for _, x := range c.args {
			t := x.t
			if t.arena != nil {
				continue
			}
			if !t.used {
				t.used, t.first = true, i
				list = append(list, t)
			}
			t.last = i
		}
	}
	for _, t := range list {
		if t.bytes() > e.limits.Binding {
			return nil, fmt.Errorf("%s [%d, %d] needs %d MiB, more than this adapter binds at once (%d MiB): lower the batch size and raise gradient accumulation",
				t.Name, t.Rows, t.Cols, t.bytes()>>20, e.limits.Binding>>20)
		}
	}
	return a, a.pack(list)
}

// Memory is one arena's size.
type Memory struct {
	Arena string
	Bytes int64
}

// Memory lists what the plan occupies on the device, its parameters included.
func (p *Plan) Memory() []Memory {
	var out []Memory
	for _, a := range p.graph.params.arenas() {
		out = append(out, Memory{a.name, a.size()})
	}
	for _, b := range p.graph.beside {
		m := Memory{Arena: b.name}
		for _, a := range b.params.arenas() {
			m.Bytes += a.size()
		}
		out = append(out, m)
	}
	return append(out, Memory{p.graph.inputs.name, p.graph.inputs.size()}, Memory{p.activations.name, p.activations.size()})
}

// Own is what a program of the plan holds on the device beside the parameters, in bytes.
// With over it has the memory of that plan's activations, as Plan.CompileOver.
func (p *Plan) Own(over *Plan) int64 {
	n := p.graph.inputs.size()
	for i, size := range p.activations.sizes {
		if over == nil || i >= len(over.activations.sizes) || over.activations.sizes[i] < size {
			n += size
		}
	}
	return n
}

// Dispatches is the number of kernels that run in a step of accum micro-batches.
func (p *Plan) Dispatches(accum int) int { return p.micro*accum + len(p.calls) - p.micro }

// FlopsPerToken is the arithmetic of one token, forward and, in training, backward.
// What is computed again does not count: it is no progress.
func (p *Plan) FlopsPerToken() float64 {
	n, _ := p.flops()
	return n / float64(p.graph.Tokens())
}

// Again is the arithmetic of a micro-batch that LimitMemory adds, as a share of
// what it has without.
func (p *Plan) Again() float64 {
	n, again := p.flops()
	return again / n
}

// flops is the arithmetic of a micro-batch, and of what it computes again.
func (p *Plan) flops() (once, again float64) {
	for _, c := range p.calls[:p.micro] {
		if c.again {
			again += c.src.Flops
		} else {
			once += c.src.Flops
		}
	}
	return once, again
}

// UpdateFlops is the arithmetic of the matrix products of an update: none with AdamW.
func (p *Plan) UpdateFlops() float64 {
	var n float64
	for _, c := range p.calls[p.micro:] {
		if strings.HasPrefix(c.src.Family, "matmul/") {
			n += c.src.Flops
		}
	}
	return n
}

// trains reports whether the plan has a backward pass and an update.
func (p *Plan) trains() bool { return len(p.calls) > p.micro }
