package graph

import (
	"fmt"

	"bitnet/gpu"
	"bitnet/shaders"
)

// AdamW are the constants of the optimizer (Loshchilov and Hutter, 2019).
type AdamW struct{ Beta1, Beta2, Eps float32 }

// Plan is a graph laid out in memory: every call of the program, and where
// every tensor lies. It needs no device.
type Plan struct {
	graph       *Graph
	activations *arena
	calls       []call
	products    []tunable
	micro       int // calls of one micro-batch; the rest is the update
}

// PlanTraining plans forward, backward and the optimizer's update.
func (g *Graph) PlanTraining(opt AdamW) (*Plan, error) {
	if g.loss == nil {
		return nil, fmt.Errorf("a graph without a loss cannot be trained")
	}
	e := g.emitter(true)
	g.forward(e)
	g.backward(e)
	micro := len(e.calls)
	g.params.emitUpdate(e, opt)
	g.params.emitQuantize(e)
	return g.plan(e, micro)
}

// PlanForward plans the forward pass alone.
func (g *Graph) PlanForward() (*Plan, error) {
	e := g.emitter(false)
	g.forward(e)
	return g.plan(e, len(e.calls))
}

func (g *Graph) emitter(training bool) *emitter {
	return newEmitter(g.params, training)
}

func newEmitter(ps *Params, training bool) *emitter {
	return &emitter{target: ps.Target, limits: ps.Limits, precision: ps.Precision, tuning: ps.Tuning, training: training, grads: map[*Tensor]*Tensor{}}
}

func (g *Graph) plan(e *emitter, micro int) (*Plan, error) {
	if g.err != nil {
		return nil, g.err
	}
	p := &Plan{graph: g, calls: e.calls, products: e.products, micro: micro}
	var err error
	p.activations, err = layOut(e)
	return p, err
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
	for _, a := range append(p.graph.params.arenas(), p.graph.inputs, p.activations) {
		out = append(out, Memory{a.name, a.size()})
	}
	return out
}

// Dispatches is the number of kernels that run in a step of accum micro-batches.
func (p *Plan) Dispatches(accum int) int { return p.micro*accum + len(p.calls) - p.micro }

// FlopsPerToken is the arithmetic of one token, forward and, in training, backward.
func (p *Plan) FlopsPerToken() float64 {
	var n float64
	for _, c := range p.calls[:p.micro] {
		n += c.src.Flops
	}
	return n / float64(p.graph.Tokens())
}

// binding resolves an argument to a range of a buffer.
func (x arg) binding() gpu.Binding {
	t := x.t
	b := gpu.Binding{Buffer: t.arena.slabs[t.slab], Offset: t.offset, Size: t.bytes()}
	if x.rows > 0 {
		row := 4 * int64(t.DType.rowWords(t.Cols))
		b.Offset += int64(x.first) * row
		b.Size = int64(x.rows) * row
	}
	return b
}

// assemble compiles calls into a program of a device.
func assemble(dev *gpu.Device, label string, calls []call) (*gpu.Program, error) {
	ds := make([]gpu.Dispatch, len(calls))
	for i, c := range calls {
		k, err := compileSource(dev, c.src)
		if err != nil {
			return nil, err
		}
		ds[i] = gpu.Dispatch{Kernel: k, Groups: c.src.Groups, Label: c.src.Label}
		for _, x := range c.args {
			ds[i].Bindings = append(ds[i].Bindings, x.binding())
		}
	}
	return dev.NewProgram(label, ds)
}

// flatRange is a run of parameters that lie one behind another.
type flatRange struct {
	slab   int
	offset int64 // bytes
	n      int   // elements, padding between parameters included
	decay  bool
}

// ranges cuts the parameters into as few flat ranges as bindings allow.
func (ps *Params) ranges() []flatRange {
	var out []flatRange
	for _, p := range ps.list {
		t := p.master
		n := int(roundUp(t.bytes(), alignment) / 4)
		if last := len(out) - 1; last >= 0 {
			r := &out[last]
			if r.slab == t.slab && r.decay == p.decay && 4*int64(r.n+n) <= ps.Limits.Binding {
				r.n += n
				continue
			}
		}
		out = append(out, flatRange{t.slab, t.offset, n, p.decay})
	}
	return out
}

func (r flatRange) of(a *arena) *Tensor {
	return &Tensor{Name: a.name, Rows: 1, Cols: r.n, arena: a, slab: r.slab, offset: r.offset}
}

// emitUpdate emits the global gradient norm, the clip and AdamW.
func (ps *Params) emitUpdate(e *emitter, opt AdamW) {
	e.op = "update"
	ranges := ps.ranges()
	parts := 0
	for _, r := range ranges {
		parts += shaders.SumSquares{N: r.n}.Parts()
	}
	part := tensor("squared gradients", F32, 1, parts)
	at := 0
	for _, r := range ranges {
		k := shaders.SumSquares{Target: e.target, N: r.n, At: at}
		e.run(k.Source(), r.of(ps.grads), part)
		at += k.Parts()
	}
	e.run(shaders.FinishStep{Target: e.target, Parts: parts}.Source(), part, ps.step, ps.state, ps.history)
	for _, r := range ranges {
		k := shaders.AdamW{Target: e.target, N: r.n, Beta1: opt.Beta1, Beta2: opt.Beta2, Eps: opt.Eps, Decay: r.decay}
		e.run(k.Source(), r.of(ps.masters), r.of(ps.grads), r.of(ps.ms), r.of(ps.vs), ps.step, ps.state)
	}
}
