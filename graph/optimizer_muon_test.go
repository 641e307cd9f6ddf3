package graph

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/gpu/gputest"
	"bitnet/shaders"
	"bitnet/shaders/matmul"
)

// muonTest is an update with Muon, of which a test expects no error.
type muonTest struct {
	t *testing.T
	*updateRun
}

var testMuon = checkedMuon

func newMuonTest(t *testing.T, dev *gpu.Device, target shaders.Target, shapes ...[][2]int) *muonTest {
	t.Helper()
	r, err := newUpdateRun(dev, target, testMuon, nil, shapes...)
	require.NoError(t, err)
	t.Cleanup(r.release)
	return &muonTest{t, r}
}

// step runs an update and returns the gradient's norm.
func (m *muonTest) step(v StepValues) float64 {
	m.t.Helper()
	norm, err := m.update(v)
	require.NoError(m.t, err)
	return norm
}

func (m *muonTest) read(p *Param, s Slot) []float64 {
	got := make([]float32, p.size())
	require.NoError(m.t, p.Read(s, got))
	return widen(got)
}

// Several steps against float64, at shapes that fit the tiles and that do not,
// with the weights and gradients of each step clipped and decayed.
func TestMuonSteps(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		lists := muonShapes
		if foreign(dev, target) {
			lists = lists[1:]
		}
		for _, shapes := range lists {
			var v verdict
			require.NoError(t, checkUpdates(dev, target, shapes, &v))
			require.NoError(t, v.err)
		}
		m := newMuonTest(t, dev, target, lists[0]...)
		for _, p := range m.params {
			require.Equal(t, !p.ternary, p.Keeps(SecondMoment))
		}
	})
}

// The change of a projection is nearly orthogonal, whatever the size of the
// gradient, and a gradient of zero changes nothing.
func TestMuonOrthogonalises(t *testing.T) {
	gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
		for _, size := range []float64{1e-6, 1, 1e6} {
			m := newMuonTest(t, dev, TargetOf(dev.Adapter()), [][2]int{{24, 40}, {24, 40}})
			p := m.params[2]
			g := random(3, p.Rows, p.Cols)
			for i := range g.v {
				g.v[i] *= size
				if i >= 24*40 {
					g.v[i] = 0
				}
			}
			require.NoError(t, p.Write(Grad, g.f32()))
			m.step(StepValues{LearningRate: 1, MaxNorm: 1e30, Beta1: 0.9, Beta2: 0.95})
			change := m.read(p, Master)
			for i := range 24 {
				for j := range 24 {
					dot := 0.0
					for c := range 40 {
						dot += change[i*40+c] * change[j*40+c] / (0.04 * 40)
					}
					want := 0.0
					if i == j {
						want = 1
					}
					require.InDelta(t, want, dot, 0.55, "rows %d and %d at size %g", i, j, size)
				}
			}
			require.Equal(t, make([]float64, 24*40), change[24*40:])
		}
	})
}

// The same steps give the same bits, in memory that holds something else, and
// matrices that are computed together do not depend on each other.
func TestMuonIsDeterministic(t *testing.T) {
	gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
		run := func(shapes ...[][2]int) []float64 {
			m := newMuonTest(t, dev, TargetOf(dev.Adapter()), shapes...)
			for s := range 2 {
				for _, p := range m.params {
					require.NoError(t, p.Write(Grad, random(uint64(p.Cols+s), p.Rows, p.Cols).f32()))
				}
				m.step(StepValues{Step: int64(s), LearningRate: 0.1, WeightDecay: 0.1, MaxNorm: 1e9, Beta1: 0.9, Beta2: 0.95})
			}
			return m.read(m.params[2], Master)
		}
		one := run([][2]int{{36, 52}})
		require.Equal(t, one, run([][2]int{{36, 52}}))
		require.Equal(t, one, run([][2]int{{36, 52}}, [][2]int{{52, 36}, {52, 36}}, [][2]int{{8, 12}}), "in a batch")
	})
}

// Matrices are cut into several dispatches where a binding or the copies of
// them are limited.
func TestMuonCuts(t *testing.T) {
	ps := NewParams(shaders.GPU, Limits{Binding: 3 * 64 * 64 * 4, Buffer: 1 << 20})
	ps.Ternary(64, Part{"q", 64}, Part{"k", 32}, Part{"v", 32})
	ps.Ternary(64, Part{"o", 64})
	ps.Ternary(64, Part{"gate", 64}, Part{"up", 64})
	ps.Ternary(32, Part{"down", 64})
	require.NoError(t, ps.Layout(ForMuon))
	matrices := 0
	for _, o := range ps.orthogonal {
		require.LessOrEqual(t, 4*len(o.list)*o.rows*o.cols, 3*64*64*4)
		require.LessOrEqual(t, o.rows, o.cols)
		for _, p := range o.list {
			require.LessOrEqual(t, p.At+o.rows*o.cols, o.run.weights.Cols)
		}
		matrices += len(o.list)
	}
	require.Equal(t, 7, matrices)
	require.Greater(t, len(ps.orthogonal), 2)
}

// Training with Muon lowers the loss, needs a moment less, allocates nothing, and
// takes other storage than AdamW.
func TestMuonTrains(t *testing.T) {
	gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
		machines := map[string]*machine{}
		for name, opt := range map[string]Optimizer{"adamw": AdamW{0.9, 0.95, 1e-8}, "muon": testMuon} {
			m := newMachineWith(t, dev, LimitsOf(dev.Adapter()), opt)
			machines[name] = m
			loss := func(step int) float64 {
				m.begin(step, 1)
				m.load(0)
				require.NoError(t, m.p.Step())
				return float64(m.result(step).Loss)
			}
			first := loss(0)
			for step := 1; step < 40; step++ {
				loss(step)
			}
			require.Less(t, loss(40), 0.5*first, name)
		}
		memory := func(name, arena string) int64 {
			for _, x := range machines[name].p.plan.Memory() {
				if x.Arena == arena {
					return x.Bytes
				}
			}
			t.Fatal(arena)
			return 0
		}
		require.Equal(t, memory("adamw", "optimizer m"), memory("muon", "optimizer m"))
		require.Less(t, memory("muon", "optimizer v"), memory("adamw", "optimizer v")/2)
		require.Zero(t, machines["adamw"].p.plan.UpdateFlops())
		require.Positive(t, machines["muon"].p.plan.UpdateFlops())
	})
	ps := NewParams(0, Limits{Binding: 1 << 30, Buffer: 1 << 30})
	g := benchModel(ps, machineShape)
	require.NoError(t, ps.Layout(ForTraining))
	_, err := g.PlanTraining(testMuon)
	require.ErrorContains(t, err, "laid out for training, and the optimizer needs the layout for training with Muon")
}

// Batches, and the factors of sum and residual, in every variant of a product.
func TestBatchedProducts(t *testing.T) {
	f32k, f32 := matmul.Operand{Kind: matmul.F32, AlongK: true}, matmul.Operand{Kind: matmul.F32}
	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		for _, s := range [][3]int{{20, 36, 28}, {5, 7, 9}} {
			for _, mm := range []matmul.Product{
				{A: f32k, B: f32k},
				{A: f32k, B: f32, Residual: true, Alpha: -1.5, Beta: 0.75},
				{A: f32, B: f32, Accumulate: true},
			} {
				mm.Target, mm.Batch, mm.M, mm.N, mm.K = target, 3, s[0], s[1], s[2]
				variants := mm.Variants(0)
				if foreign(dev, target) {
					variants = variants[:1]
				}
				want := make([]float64, 0, 3*mm.M*mm.N)
				a, b := random(1, 3*mm.M, mm.K), random(2, 3*mm.N, mm.K)
				residual, before := random(3, 3*mm.M, mm.N), random(4, 3*mm.M, mm.N)
				for z := range 3 {
					for i := range mm.M {
						for j := range mm.N {
							sum := 0.0
							for k := range mm.K {
								av, bv := a.v[(z*mm.M+i)*mm.K+k], b.v[(z*mm.N+j)*mm.K+k]
								if !mm.A.AlongK {
									av = a.v[(z*mm.K+k)*mm.M+i]
								}
								if !mm.B.AlongK {
									bv = b.v[(z*mm.K+k)*mm.N+j]
								}
								sum += av * bv
							}
							at := (z*mm.M+i)*mm.N + j
							if mm.Residual {
								sum = float64(mm.Alpha)*sum + float64(mm.Beta)*residual.v[at]
							}
							if mm.Accumulate {
								sum += before.v[at]
							}
							want = append(want, sum)
						}
					}
				}
				for _, v := range variants {
					src := v.Source()
					tensors := []*Tensor{tensor("a", F32, 1, len(a.v)), tensor("b", F32, 1, len(b.v))}
					contents := []matrix{a, b}
					if mm.Residual {
						tensors, contents = append(tensors, tensor("residual", F32, 1, len(want))), append(contents, residual)
					}
					c := tensor("c", F32, 1, len(want))
					tensors = append(tensors, c)
					if mm.Accumulate {
						contents = append(contents, before)
					}
					arena := &arena{name: "test", limit: 1 << 26}
					runCalls(t, dev, arena, target, tensors, func(e *emitter) { e.run(src, tensors...) }, func() {
						for i, x := range contents {
							require.NoError(t, tensors[i].write(gpu.Bytes(x.f32())))
						}
					})
					got := make([]float32, len(want))
					require.NoError(t, c.read(gpu.Bytes(got)))
					near(t, src.Label+" "+v.Name, want, widen(got), exact32)
					arena.release()
				}
			}
		}
	})
}

// Muon against PyTorch, which computes the polynomial on singular values.
func TestGoldenMuon(t *testing.T) {
	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		n := 0
		g := openGoldens(t, "muon")
		for ; g.has(fmt.Sprintf("case%d.lr", n)) && (n == 0 || !foreign(dev, target)); n++ {
			c := fmt.Sprintf("case%d.", n)
			var parts [][2]int
			var start []float32
			for i := 0; g.has(fmt.Sprintf("%sp%d.init", c, i)); i++ {
				w := g.matrix(fmt.Sprintf("%sp%d.init", c, i))
				parts, start = append(parts, [2]int{w.rows, w.cols}), append(start, w.f32()...)
			}
			m := newMuonTest(t, dev, target, parts)
			p := m.params[2]
			require.NoError(t, p.Write(Master, start))
			lr, wd := g.floats(c+"lr"), g.floats(c+"weight_decay")
			for s := range lr {
				at := fmt.Sprintf("%sstep%d.", c, s)
				all := func(form string) (out []float64) {
					for i := range parts {
						out = append(out, g.matrix(fmt.Sprintf("%sp%d.%s", at, i, form)).v...)
					}
					return out
				}
				require.NoError(t, p.Write(Grad, matrix{p.Rows, p.Cols, all("g")}.f32()))
				norm := m.step(StepValues{Step: int64(s), LearningRate: lr[s], WeightDecay: wd[s], MaxNorm: 1, Beta1: 0.9, Beta2: 0.95})
				near(t, at+"grad_norm", g.floats(at+"grad_norm"), []float64{norm}, exact32)
				near(t, at+"m", all("m"), m.read(p, FirstMoment), exact32)
				near(t, at+"p", all("p"), m.read(p, Master), 1e-4)
			}
		}
		require.NotZero(t, n)
	})
}

// Products that are symmetric, of which only half is computed, in tiles of several
// shapes: all of the result is there.
func TestSymmetricProducts(t *testing.T) {
	along, across := matmul.Operand{Kind: matmul.F32, AlongK: true}, matmul.Operand{Kind: matmul.F32}
	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		for _, n := range []int{132, 37} {
			x := random(1, 2*n, 28)
			gram := matrix{2 * n, n, make([]float64, 2*n*n)}
			for i := range 2 * n {
				for j := range n {
					for k := range 28 {
						gram.v[i*n+j] += x.v[i*28+k] * x.v[(i/n*n+j)*28+k]
					}
				}
			}
			a := matrix{2 * n, n, widen(gram.f32())}
			q := make([]float64, len(a.v)) // 0.5 a a - 2 a + 3
			for i := range 2 * n {
				for j := range n {
					for k := range n {
						q[i*n+j] += 0.5 * a.v[i*n+k] * a.v[(i/n*n+k)*n+j]
					}
					q[i*n+j] -= 2 * a.v[i*n+j]
				}
				q[i*n+i%n] += 3
			}
			for _, row := range []struct {
				mm      matmul.Product
				operand matrix
				want    []float64
			}{
				{matmul.Product{K: 28, A: along, B: along}, x, gram.v},
				{matmul.Product{K: n, A: along, B: across, Residual: true, Alpha: 0.5, Beta: -2, Diagonal: 3}, a, q},
			} {
				mm := row.mm
				mm.Target, mm.Batch, mm.M, mm.N, mm.Symmetric = target, 2, n, n, true
				for i, v := range mm.Variants(0) {
					if i > 0 && (i%4 != 3 || foreign(dev, target)) {
						continue // each takes long to compile
					}
					src := v.Source()
					operand, c := tensor("a", F32, 1, len(row.operand.v)), tensor("c", F32, 1, len(row.want))
					args := []*Tensor{operand, operand, c}
					if mm.Residual {
						args = []*Tensor{operand, operand, operand, c}
					}
					arena := &arena{name: "test", limit: 1 << 26}
					runCalls(t, dev, arena, target, args[len(args)-2:], func(e *emitter) { e.run(src, args...) }, func() {
						require.NoError(t, operand.write(gpu.Bytes(row.operand.f32())))
					})
					got := make([]float32, len(row.want))
					require.NoError(t, c.read(gpu.Bytes(got)))
					near(t, src.Label+" "+v.Name, row.want, widen(got), exact32)
					arena.release()
				}
			}
		}
	})
}
