package graph

import (
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/gpu/gputest"
	"bitnet/shaders"
)

// onEveryDevice runs f on every adapter of this machine, with the kernels of every
// target: those laid out for a GPU are right on lavapipe too.
func onEveryDevice(t *testing.T, f func(t *testing.T, dev *gpu.Device, target shaders.Target)) {
	for _, dev := range gputest.Every(t) {
		targets := []shaders.Target{shaders.GPU, shaders.CPU}
		if dev.Adapter().Has(gpu.UniformTable) {
			targets = append(targets, shaders.CPUTable)
		}
		for _, target := range targets {
			t.Run(fmt.Sprintf("%s/%s", dev.Adapter().Name, target), func(t *testing.T) { f(t, dev, target) })
		}
	}
}

// foreign reports that kernels of a target are laid out for another kind of
// adapter than this one, on which each takes seconds to compile. There an odd
// and a regular shape of each are enough, unless BITNET_VARIANTS is all.
func foreign(dev *gpu.Device, target shaders.Target) bool {
	a := dev.Adapter()
	return a.Kind == gpu.CPU && target != TargetOf(a) && os.Getenv("BITNET_VARIANTS") != "all"
}

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

// opTest runs one operation forward and backward on a device.
type opTest struct {
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
}

type opResult struct {
	y, loss []float64
	dx, dp  [][]float64
	plan    *Plan
}

const poison = 0x7fc0dead // a NaN

// fillPoison writes NaN over all of some arenas.
func fillPoison(t *testing.T, arenas ...*arena) {
	t.Helper()
	for _, a := range arenas {
		for i, n := range a.sizes {
			bad := make([]uint32, n/4)
			for j := range bad {
				bad[j] = poison
			}
			require.NoError(t, a.slabs[i].Write(0, gpu.Bytes(bad)))
		}
	}
}

func (c opTest) run(t *testing.T, dev *gpu.Device, target shaders.Target) opResult {
	t.Helper()
	ps := NewParams(target, LimitsOf(dev.Adapter()))
	if c.memory > 0 {
		ps.Limits.Units.WorkgroupMemory = c.memory
	}
	ps.Precision = c.precision
	var params []*Param
	for i, m := range c.params {
		switch {
		case i == 0 && c.ternary != nil:
			var parts []Part
			for j, rows := range c.ternary {
				parts = append(parts, Part{fmt.Sprintf("w%d", j), rows})
			}
			params = append(params, ps.Ternary(m.cols, parts...))
		case m.rows == 1:
			params = append(params, ps.Vector(fmt.Sprintf("p%d", i), m.cols))
		default:
			params = append(params, ps.Matrix(fmt.Sprintf("p%d", i), m.rows, m.cols))
		}
	}
	require.NoError(t, ps.Layout(ForTraining))
	require.NoError(t, ps.Allocate(dev))
	defer ps.Release()
	for i, m := range c.params {
		require.NoError(t, params[i].Write(Master, m.f32()))
	}
	require.NoError(t, ps.Quantize(dev))

	g := New(ps, c.batch, c.seq)
	if c.begins != nil {
		g = NewPacked(ps, c.batch, c.seq)
	}
	var x []*Tensor
	for i, m := range c.inputs {
		x = append(x, g.input(fmt.Sprintf("x%d", i), F32, m.rows, m.cols))
	}
	y := c.build(g, x, params)
	require.NoError(t, g.err)
	keep := func(t *Tensor) *Tensor {
		if t.arena == nil {
			if err := g.inputs.append(t); err != nil {
				panic(err)
			}
		}
		return t
	}
	e := newEmitter(ps, true)
	var dy *Tensor
	if y != nil {
		dy = g.input("dy", F32, y.Rows, y.Cols)
		if y.arena == nil {
			keep(y)
		}
		e.grads[y] = dy
	}
	starts := map[int]*Tensor{}
	if c.residual {
		for i := range x {
			start := g.input("dx start", F32, x[i].Rows, x[i].Cols)
			e.grads[x[i]], starts[i] = start, start
		}
	}
	g.forward(e)
	g.backward(e)
	require.NoError(t, e.err)
	for i := range x {
		require.NotNil(t, e.grads[x[i]], "input %d has no gradient", i)
		keep(e.grads[x[i]])
	}
	plan, err := g.finish(e, len(e.calls))
	require.NoError(t, err)
	require.NoError(t, plan.Use(c.variants))
	p, err := plan.Compile(dev)
	require.NoError(t, err)
	defer p.Release()

	// Everything that the operation does not read starts as NaN.
	fillPoison(t, g.inputs, plan.activations)
	for _, k := range g.constants {
		require.NoError(t, k.t.write(gpu.Bytes(k.values)))
	}
	for i, m := range c.inputs {
		require.NoError(t, x[i].write(gpu.Bytes(m.f32())))
		if s := starts[i]; s != nil {
			require.NoError(t, s.write(gpu.Bytes(random(77, m.rows, m.cols).f32())))
		}
	}
	tokens := g.Tokens()
	if c.tokens == nil {
		c.tokens = make([]uint32, tokens)
	}
	if c.targets == nil {
		c.targets = make([]uint32, tokens)
	}
	counted := 0
	for _, id := range c.targets {
		if id != math.MaxUint32 {
			counted++
		}
	}
	vocab := 1
	if len(c.params) > 0 {
		vocab = c.params[0].rows
	}
	if c.begins != nil {
		require.NoError(t, p.LoadPacked(c.tokens, c.targets, c.begins, max(vocab, 1)))
	} else {
		require.NoError(t, p.Load(c.tokens, c.targets, max(vocab, 1)))
	}
	if dy != nil {
		require.NoError(t, dy.write(gpu.Bytes(c.dy.f32())))
	}
	require.NoError(t, ps.SetStep(StepValues{LossTokens: counted, Beta1: 0.9, Beta2: 0.95, MaxNorm: 1}))
	require.NoError(t, p.MicroBatch())

	r := opResult{plan: plan}
	read := func(t2 *Tensor) []float64 {
		v := make([]float32, t2.Rows*t2.Cols)
		require.NoError(t, t2.read(gpu.Bytes(v)))
		return widen(v)
	}
	if y != nil {
		r.y = read(y)
	} else {
		r.y = read(g.loss)
		r.loss = read(ps.state)[:1]
	}
	for i := range x {
		d := read(e.grads[x[i]])
		if c.residual {
			start := random(77, x[i].Rows, x[i].Cols)
			for j := range d {
				d[j] -= start.v[j]
			}
		}
		r.dx = append(r.dx, d)
	}
	for _, q := range params {
		r.dp = append(r.dp, read(q.grad))
	}
	return r
}

func widen(v []float32) []float64 {
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}

// near requires |got - want| <= tol * (largest |want| + 1e-3) everywhere.
func near(t *testing.T, name string, want, got []float64, tol float64) {
	t.Helper()
	require.Len(t, got, len(want), name)
	scale := 1e-3
	for _, w := range want {
		scale = max(scale, math.Abs(w))
	}
	for i := range want {
		if !(math.Abs(got[i]-want[i]) <= tol*scale) {
			t.Fatalf("%s[%d] = %v, want %v (tolerance %.1e of %.3g)", name, i, got[i], want[i], tol, scale)
		}
	}
}

// sampled is how many elements of a gradient are compared with differences.
const sampled = 40

// compareDifferences holds a gradient of sum(dy f(x)) with respect to x[at]
// against central differences in float64, at elements spread over all of it.
func compareDifferences(t *testing.T, name string, f func([]matrix) []float64, x []matrix, at int, dy, got []float64, tol float64) {
	t.Helper()
	const h = 1e-5
	require.Len(t, got, len(x[at].v), name)
	work := append([]matrix(nil), x...)
	work[at].v = append([]float64(nil), x[at].v...)
	n := len(got)
	var want, some []float64
	for s := range min(n, sampled) {
		i := s * n / min(n, sampled)
		old := work[at].v[i]
		work[at].v[i] = old + h
		up := f(work)
		work[at].v[i] = old - h
		down := f(work)
		work[at].v[i] = old
		slope := 0.0
		for j, d := range dy {
			slope += d * (up[j] - down[j]) / (2 * h)
		}
		want, some = append(want, slope), append(some, got[i])
	}
	near(t, name, want, some, tol)
}
