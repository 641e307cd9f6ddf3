package graph

import (
	"fmt"
	"math"

	"bitnet/gpu"
	"bitnet/shaders"
)

// exact32 is float32 arithmetic against float64, of the largest value.
const exact32 = 3e-6

// matrix is a value of a test, [rows, cols].
type matrix struct {
	rows, cols int
	v          []float64
}

func (m matrix) f32() []float32 {
	out := make([]float32, len(m.v))
	for i, v := range m.v {
		out[i] = float32(v)
	}
	return out
}

// random fills a matrix with values that float32 holds exactly.
func random(seed uint64, rows, cols int) matrix {
	m := matrix{rows, cols, make([]float64, rows*cols)}
	for i := range m.v {
		seed = seed*6364136223846793005 + 1442695040888963407
		a := float64(seed>>40) / (1 << 24)
		seed = seed*6364136223846793005 + 1442695040888963407
		b := float64(seed>>40) / (1 << 24)
		m.v[i] = float64(float32(math.Sqrt(-2*math.Log(a+1e-9)) * math.Cos(2*math.Pi*b)))
	}
	return m
}

// trial runs one operation forward and backward on a device.
type trial struct {
	batch, seq int
	inputs     []matrix // activations, [batch*seq, ...]
	params     []matrix
	// ternary gives the rows of each projection where params[0] is ternary.
	ternary         []int
	tokens, targets []uint32
	begins          []uint32 // of documents; nil for rows of one sequence
	// build declares the operation; a nil result means the loss head.
	build func(g *Graph, x []*Tensor, p []*Param) *Tensor
	dy    matrix
	// residual lets each input's gradient start from this value, so that the
	// operation has to add to it.
	residual  bool
	precision Precision
	variants  map[string]string // of products
	memory    int               // bytes of workgroup memory, where not the adapter's
	ramp      float64           // StepValues.Ramp
	// divergence says that build declares a loss with a teacher.
	divergence bool
	binding    int64 // bytes of a storage binding of parameters, where not the adapter's
}

type trialResult struct {
	y, loss []float64 // with a teacher loss has the divergence, too
	apart   []float64 // the divergence of each position from a teacher
	dx, dp  [][]float64
	plan    *Plan
	sources []shaders.Source // of all kernels that ran
}

const poison = 0x7fc0dead // a NaN

// poisonAll writes NaN over all of some arenas.
func poisonAll(arenas ...*arena) error {
	for _, a := range arenas {
		for i, n := range a.sizes {
			bad := make([]uint32, n/4)
			for j := range bad {
				bad[j] = poison
			}
			if err := a.slabs[i].Write(0, gpu.Bytes(bad)); err != nil {
				return err
			}
		}
	}
	return nil
}

// trialRun is a trial on a device.
type trialRun struct {
	trial
	dev    *gpu.Device
	ps     *Params
	values []*Param // of trial.params
	g      *Graph
	e      *emitter
	x      []*Tensor
	y, dy  *Tensor         // nil of the loss head
	starts map[int]*Tensor // of the gradients of inputs, with residual
	plan   *Plan
}

// compute runs the trial with the kernels of a target.
func (c trial) compute(dev *gpu.Device, target shaders.Target) (trialResult, error) {
	r := &trialRun{trial: c, dev: dev, starts: map[int]*Tensor{}}
	if err := r.parameters(target); err != nil {
		return trialResult{}, err
	}
	defer r.ps.Release()
	if err := r.declare(); err != nil {
		return trialResult{}, err
	}
	p, err := r.plan.Compile(dev)
	if err != nil {
		return trialResult{}, err
	}
	defer p.Release()
	if err := r.fill(p); err != nil {
		return trialResult{}, err
	}
	if err := p.MicroBatch(); err != nil {
		return trialResult{}, err
	}
	return r.read()
}

// parameters places the parameters and writes their values.
func (r *trialRun) parameters(target shaders.Target) error {
	ps := NewParams(target, LimitsOf(r.dev.Adapter()))
	if r.memory > 0 {
		ps.Limits.Units.WorkgroupMemory = r.memory
	}
	if r.binding > 0 {
		ps.Limits.Binding = r.binding
	}
	ps.Precision = r.precision
	if r.divergence {
		ps.RecordDivergence()
	}
	r.ps = ps
	for i, m := range r.params {
		switch {
		case i == 0 && r.ternary != nil:
			var parts []Part
			for j, rows := range r.ternary {
				parts = append(parts, Part{fmt.Sprintf("w%d", j), rows})
			}
			r.values = append(r.values, ps.Ternary(m.cols, parts...))
		case m.rows == 1:
			r.values = append(r.values, ps.Vector(fmt.Sprintf("p%d", i), m.cols))
		default:
			r.values = append(r.values, ps.Matrix(fmt.Sprintf("p%d", i), m.rows, m.cols))
		}
	}
	if err := ps.Layout(ForTraining); err != nil {
		return err
	}
	if err := ps.Allocate(r.dev); err != nil {
		return err
	}
	for i, m := range r.params {
		if err := r.values[i].Write(Master, m.f32()); err != nil {
			return err
		}
	}
	return ps.Quantize(r.dev)
}

// declare plans the operation; what is read afterwards keeps its place in memory.
func (r *trialRun) declare() error {
	g := New(r.ps, r.batch, r.seq)
	if r.begins != nil {
		g = NewPacked(r.ps, r.batch, r.seq)
	}
	r.g = g
	for i, m := range r.inputs {
		r.x = append(r.x, g.input(fmt.Sprintf("x%d", i), F32, m.rows, m.cols))
	}
	r.y = r.build(g, r.x, r.values)
	if g.err != nil {
		return g.err
	}
	keep := func(t *Tensor) error {
		if t.arena != nil {
			return nil
		}
		return g.inputs.append(t)
	}
	e := newEmitter(r.ps, true)
	r.e = e
	if r.y != nil {
		r.dy = g.input("dy", F32, r.y.Rows, r.y.Cols)
		if err := keep(r.y); err != nil {
			return err
		}
		e.grads[r.y] = r.dy
	}
	if r.residual {
		for i, x := range r.x {
			start := g.input("dx start", F32, x.Rows, x.Cols)
			e.grads[x], r.starts[i] = start, start
		}
	}
	g.forward(e)
	g.backward(e)
	if e.err != nil {
		return e.err
	}
	for i, x := range r.x {
		if e.grads[x] == nil {
			return fmt.Errorf("input %d has no gradient", i)
		}
		if err := keep(e.grads[x]); err != nil {
			return err
		}
	}
	var err error
	if r.plan, err = g.finish(e, len(e.calls)); err != nil {
		return err
	}
	return r.plan.Use(r.variants)
}

// fill writes what the operation reads; everything else starts as NaN.
func (r *trialRun) fill(p *Program) error {
	if err := poisonAll(r.g.inputs, r.plan.activations); err != nil {
		return err
	}
	for _, k := range r.g.constants {
		if err := k.t.write(gpu.Bytes(k.values)); err != nil {
			return err
		}
	}
	for i, m := range r.inputs {
		if err := r.x[i].write(gpu.Bytes(m.f32())); err != nil {
			return err
		}
		if s := r.starts[i]; s != nil {
			if err := s.write(gpu.Bytes(random(77, m.rows, m.cols).f32())); err != nil {
				return err
			}
		}
	}
	tokens, targets := r.tokens, r.targets
	if tokens == nil {
		tokens = make([]uint32, r.g.Tokens())
	}
	if targets == nil {
		targets = make([]uint32, r.g.Tokens())
	}
	counted := 0
	for _, id := range targets {
		if id != math.MaxUint32 {
			counted++
		}
	}
	vocab := 1
	if len(r.params) > 0 {
		vocab = r.params[0].rows
	}
	if err := r.load(p, tokens, targets, max(vocab, 1)); err != nil {
		return err
	}
	if r.dy != nil {
		if err := r.dy.write(gpu.Bytes(r.trial.dy.f32())); err != nil {
			return err
		}
	}
	return r.ps.SetStep(StepValues{LossTokens: counted, Beta1: 0.9, Beta2: 0.95, MaxNorm: 1, Ramp: r.ramp})
}

// load gives the program the micro-batch.
func (r *trialRun) load(p *Program, tokens, targets []uint32, vocab int) error {
	if r.begins != nil {
		return p.LoadPacked(tokens, targets, r.begins, vocab)
	}
	return p.Load(tokens, targets, vocab)
}

func (r *trialRun) read() (trialResult, error) {
	e := newEmitter(r.ps, false)
	r.ps.emitQuantize(e)
	out := trialResult{plan: r.plan, sources: r.plan.Sources()}
	for _, c := range e.calls {
		out.sources = append(out.sources, c.src)
	}
	var failed error
	read := func(t *Tensor) []float64 {
		v := make([]float32, t.Rows*t.Cols)
		if err := t.read(gpu.Bytes(v)); err != nil && failed == nil {
			failed = err
		}
		return widen(v)
	}
	if r.y != nil {
		out.y = read(r.y)
	} else {
		out.y = read(r.g.loss)
		state := read(r.ps.state)
		out.loss = state[:1]
		if r.divergence {
			out.loss = []float64{state[shaders.StateLoss], state[shaders.StateDivergence]}
			out.apart = read(r.g.divergence)
		}
	}
	for i, x := range r.x {
		d := read(r.e.grads[x])
		if r.residual {
			start := random(77, r.x[i].Rows, r.x[i].Cols)
			for j := range d {
				d[j] -= start.v[j]
			}
		}
		out.dx = append(out.dx, d)
	}
	for _, p := range r.values {
		v := make([]float32, p.size())
		if err := p.Read(Grad, v); err != nil && failed == nil {
			failed = err
		}
		out.dp = append(out.dp, widen(v))
	}
	return out, failed
}

func widen(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}
