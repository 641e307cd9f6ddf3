package graph

import (
	"fmt"
	"math"

	"bitnet/gpu"
	"bitnet/shaders"
)

// taught is a teacher whose hidden state and table are given.
func (g *Graph) taught(x, table matrix, weight, temperature float64) Teacher {
	given := func(name string, m matrix) *Tensor { return g.constant(name, m.rows, m.cols, m.f32) }
	p := &Param{Rows: table.rows, Cols: table.cols, Parts: []Part{{"teacher table", table.rows}}, master: given("teacher table", table)}
	return Teacher{X: given("teacher state", x), Table: p, Weight: weight, Temperature: temperature}
}

// distilledTrial is headTrial with a teacher.
func distilledTrial(weight, temperature float64) (c trial, x, table matrix, mean []float64) {
	c, mean = headTrial(false)
	const hidden = 20
	vocab := c.params[0].rows
	x, table = random(3, c.seq, hidden), random(4, vocab, hidden)
	c.divergence = true
	c.build = func(g *Graph, in []*Tensor, p []*Param) *Tensor {
		g.params.Limits.Binding = 4 * int64(vocab) * 100
		g.DistilledLoss(in[0], p[0], g.taught(x, table, weight, temperature))
		return nil
	}
	return c, x, table, mean
}

// logitsReference are x [tokens, hidden] times table [vocab, hidden].
func logitsReference(x, table matrix) matrix {
	out := matrix{x.rows, table.rows, make([]float64, x.rows*table.rows)}
	for t := range x.rows {
		for v := range table.rows {
			for i := range x.cols {
				out.v[t*table.rows+v] += x.v[t*x.cols+i] * table.v[v*x.cols+i]
			}
		}
	}
	return out
}

// divergenceReference is KL(softmax(teacher / temperature) || softmax(logits / temperature)) of each position that counts.
func divergenceReference(logits, teacher matrix, targets []uint32, temperature float64) []float64 {
	softened := func(row []float64) (p []float64, sum float64) {
		for _, v := range row {
			e := math.Exp(v / temperature)
			p, sum = append(p, e), sum+e
		}
		return p, sum
	}
	out := make([]float64, logits.rows)
	for t := range out {
		if targets[t] == math.MaxUint32 {
			continue
		}
		q, qs := softened(logits.v[t*logits.cols:][:logits.cols])
		u, us := softened(teacher.v[t*teacher.cols:][:teacher.cols])
		for v := range u {
			out[t] += u[v] / us * math.Log(u[v]/us/(q[v]/qs))
		}
	}
	return out
}

// checkDistilled compares loss, divergence and gradients of a head with a teacher, in
// blocks of which one is short, for several weights and temperatures.
func checkDistilled(dev *gpu.Device, target shaders.Target, v *verdict) error {
	for _, s := range [][2]float64{{0.5, 1}, {0.25, 3}, {1, 0.5}} {
		c, x, table, mean := distilledTrial(s[0], s[1])
		got, err := c.compute(dev, target)
		if err != nil {
			return err
		}
		v.ran(got.sources...)
		teacher := logitsReference(x, table)
		apart := func(in []matrix) []float64 {
			return divergenceReference(logitsReference(in[0], in[1]), teacher, c.targets, s[1])
		}
		in := []matrix{c.inputs[0], c.params[0]}
		losses, far := headReference(in[0], in[1], c.targets), apart(in)
		of := fmt.Sprintf(" of weight %g, temperature %g", s[0], s[1])
		v.near("losses"+of, losses, got.y, 2e-5)
		v.near("divergences"+of, far, got.apart, 2e-5)
		want := []float64{0, 0}
		for i := range losses {
			want[0] += losses[i] * mean[i]
			want[1] += far[i] * mean[i]
		}
		v.near("loss and divergence"+of, want, got.loss, 1e-5)
		mixed := func(in []matrix) []float64 {
			out, far := headReference(in[0], in[1], c.targets), apart(in)
			for i := range out {
				out[i] = (1-s[0])*out[i] + s[0]*s[1]*s[1]*far[i]
			}
			return out
		}
		v.differences("dx"+of, mixed, in, 0, mean, got.dx[0], 1e-4)
		v.differences("dtable"+of, mixed, in, 1, mean, got.dp[0], 1e-4)
	}
	return nil
}

// besideShape is a feed-forward of tokens of k features, f inside and n at its end.
type besideShape struct {
	tokens, k, f, n int
	act             Activation
}

// besideShapes are odd and regular ones. The second is also for kernels of a foreign layout.
var besideShapes = []besideShape{{1, 1, 1, 1, SiLU}, {3, 37, 5, 9, Relu2}, {37, 12, 24, 16, SiLU}, {70, 64, 33, 20, SiLU}}

// checkBeside compares operations without a gradient: act(gate) up of x W^T, and a product of it.
func checkBeside(dev *gpu.Device, target shaders.Target, v *verdict, shapes ...besideShape) error {
	for i, s := range shapes {
		seed := uint64(5000 + 10*i)
		x, residual := random(seed, s.tokens, s.k), random(seed+1, s.tokens, s.n)
		up, down := random(seed+2, 2*s.f, s.k), random(seed+3, s.n, s.f)
		got, err := computeBeside(dev, target, x, residual, up, down, s.act, v)
		if err != nil {
			return err
		}
		hidden := matrix{s.tokens, s.f, gluReference(logitsReference(x, up), s.act)}
		want := logitsReference(hidden, down).v
		for i := range want {
			want[i] += residual.v[i]
		}
		v.near(fmt.Sprintf("feed-forward %dx%dx%dx%d act=%d", s.tokens, s.k, s.f, s.n, s.act), want, got, 2e-5)
	}
	return nil
}

// computeBeside is residual + (act(gate) up of x up^T) down^T, with NaN around it.
func computeBeside(dev *gpu.Device, target shaders.Target, x, residual, up, down matrix, act Activation, v *verdict) ([]float64, error) {
	ps, other := NewParams(target, LimitsOf(dev.Adapter())), NewParams(target, LimitsOf(dev.Adapter()))
	wide := other.Linear(up.cols, Part{"gate", up.rows / 2}, Part{"up", up.rows / 2})
	narrow := other.Linear(down.cols, Part{"down", down.rows})
	for _, p := range []*Params{ps, other} {
		if err := p.Layout(ForEvaluation); err != nil {
			return nil, err
		}
		if err := p.Allocate(dev); err != nil {
			return nil, err
		}
		defer p.Release()
	}
	for _, w := range []struct {
		p *Param
		m matrix
	}{{wide, up}, {narrow, down}} {
		if err := w.p.Write(Master, w.m.f32()); err != nil {
			return nil, err
		}
	}
	g := New(ps, 1, x.rows)
	var y *Tensor
	in, add := g.input("x", F32, x.rows, x.cols), g.input("residual", F32, residual.rows, residual.cols)
	g.Beside("other", other, func() { y = g.Linear(g.GLU(g.Linear(in, wide, nil), act), narrow, add) })
	if g.err != nil {
		return nil, g.err
	}
	if err := g.inputs.append(y); err != nil {
		return nil, err
	}
	plan, err := g.PlanForward()
	if err != nil {
		return nil, err
	}
	v.ran(plan.Sources()...)
	p, err := plan.Compile(dev)
	if err != nil {
		return nil, err
	}
	defer p.Release()
	if err := poisonAll(g.inputs, plan.activations); err != nil {
		return nil, err
	}
	for _, w := range []struct {
		t *Tensor
		m matrix
	}{{in, x}, {add, residual}} {
		if err := w.t.write(gpu.Bytes(w.m.f32())); err != nil {
			return nil, err
		}
	}
	if err := p.MicroBatch(); err != nil {
		return nil, err
	}
	out := make([]float32, y.Rows*y.Cols)
	err = y.read(gpu.Bytes(out))
	return widen(out), err
}
