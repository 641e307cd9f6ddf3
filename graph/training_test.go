package graph

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/gpu/gputest"
)

// machine is a small model with everything it takes to train it.
type machine struct {
	t  *testing.T
	ps *Params
	g  *Graph
	p  *Program
}

// machineShape is small, with parameters that do not fill whole blocks of memory,
// so that there is padding between them.
var machineShape = benchShape{layers: 2, hidden: 20, ffn: 28, vocab: 24, batch: 2, seq: 8, heads: Heads{2, 1, 12}}

func newMachine(t *testing.T, dev *gpu.Device, limits Limits) *machine {
	return newMachineWith(t, dev, limits, AdamW{0.9, 0.95, 1e-8})
}

func newMachineWith(t *testing.T, dev *gpu.Device, limits Limits, opt Optimizer) *machine {
	t.Helper()
	return newMachineOf(t, dev, limits, opt, machineShape, KeepAll, Float32)
}

func newMachineOf(t *testing.T, dev *gpu.Device, limits Limits, opt Optimizer, shape benchShape, memory int64, precision Precision) *machine {
	t.Helper()
	ps := NewParams(TargetOf(dev.Adapter()), limits)
	ps.Precision = precision
	g := benchModel(ps, shape)
	g.LimitMemory(memory)
	require.NoError(t, ps.Layout(opt.Storage()))
	plan, err := g.PlanTraining(opt)
	require.NoError(t, err)
	require.NoError(t, ps.Allocate(dev))
	t.Cleanup(ps.Release)
	p, err := plan.Compile(dev)
	require.NoError(t, err)
	t.Cleanup(p.Release)
	for i, q := range ps.All() {
		require.NoError(t, q.Write(Master, random(uint64(i), q.Rows, q.Cols).f32()))
	}
	require.NoError(t, ps.Quantize(dev))
	return &machine{t, ps, g, p}
}

// load gives it one of the micro-batches of the test.
func (m *machine) load(number int) {
	n := m.g.Tokens()
	tokens, targets := make([]uint32, n), make([]uint32, n)
	for i := range tokens {
		tokens[i] = uint32(i*7+number*5) % uint32(machineShape.vocab)
		targets[i] = uint32(i*11+number*3) % uint32(machineShape.vocab)
	}
	require.NoError(m.t, m.p.Load(tokens, targets, machineShape.vocab))
}

// begin sets the values of a step of some micro-batches.
func (m *machine) begin(step, micro int) {
	require.NoError(m.t, m.ps.SetStep(StepValues{Step: int64(step), LearningRate: 1e-2, WeightDecay: 0.1, LossTokens: micro * m.g.Tokens(), MaxNorm: 1, Beta1: 0.9, Beta2: 0.95}))
}

func (m *machine) all(s Slot) []float32 {
	values := make([]float32, m.ps.Count())
	require.NoError(m.t, m.ps.ReadFlat(s, 0, values))
	return values
}

func (m *machine) result(step int) StepResult {
	h, err := m.ps.History(int64(step), int64(step+1))
	require.NoError(m.t, err)
	return h[0]
}

// state is everything that a step changes.
func (m *machine) state(step int) []any {
	return []any{m.all(Master), m.all(FirstMoment), m.all(SecondMoment), m.all(Grad), readWords(m.t, m.ps.codes), readWords(m.t, m.ps.scales), m.result(step)}
}

// A step is the same to the bit in one submission, as a micro-batch and an
// update, and in segments.
func TestStepInPieces(t *testing.T) {
	gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
		limits := LimitsOf(dev.Adapter())
		run := func(last func(m *machine)) (*machine, [][]any) {
			m := newMachine(t, dev, limits)
			var states [][]any
			for step := range 3 {
				m.begin(step, 2)
				m.load(2 * step)
				require.NoError(t, m.p.MicroBatch())
				m.load(2*step + 1)
				last(m)
				states = append(states, m.state(step))
			}
			return m, states
		}
		m, want := run(func(m *machine) { require.NoError(t, m.p.Step()) })
		require.Equal(t, make([]float32, m.ps.Count()), m.all(Grad), "an update leaves zero gradients")
		for s := range want[1:] {
			require.NotEqual(t, want[s][0], want[s+1][0], "a step changes the weights")
			require.NotEqual(t, want[s][6], want[s+1][6])
		}
		_, apart := run(func(m *machine) {
			require.NoError(t, m.p.MicroBatch())
			require.NoError(t, m.p.Update())
		})
		require.Equal(t, want, apart)
		for _, n := range []int{1, 3, 100} {
			_, pieces := run(func(m *machine) {
				segments, err := m.p.Segments(n)
				require.NoError(t, err)
				require.LessOrEqual(t, len(segments), n)
				require.Greater(t, len(segments), min(n, 4)-1)
				for _, s := range segments {
					require.NoError(t, s.Run())
				}
				require.NoError(t, m.p.Update())
			})
			require.Equal(t, want, pieces, "%d segments", n)
		}
	})
}

// Gradients that are final after a segment do not change any more.
func TestGradientsAreFinal(t *testing.T) {
	gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
		m := newMachine(t, dev, LimitsOf(dev.Adapter()))
		for _, n := range []int{1, 2, 5, 100} {
			m.begin(0, 1)
			m.load(n)
			segments, err := m.p.Segments(n)
			require.NoError(t, err)
			again, err := m.p.Segments(n)
			require.NoError(t, err)
			require.Equal(t, segments, again, "they are compiled once")
			early := make([]float32, m.ps.Count())
			var listed []GradientRange
			for i, s := range segments {
				require.NoError(t, s.Run())
				for _, r := range s.Gradients {
					require.Equal(t, i, r.Segment)
					require.NoError(t, m.ps.ReadFlat(Grad, r.First, early[r.First:][:r.Elements]))
				}
				listed = append(listed, s.Gradients...)
			}
			require.Equal(t, m.p.plan.Gradients(n), listed)
			late := m.all(Grad)
			require.Equal(t, late, early, "%d segments", n)
			require.Greater(t, nonzero(late), len(late)/2)
			require.NoError(t, m.p.Update())
		}
	})
}

func nonzero(v []float32) (n int) {
	for _, x := range v {
		if x != 0 {
			n++
		}
	}
	return n
}

// Every element of every parameter lies in exactly one range, in whatever
// segments and however the parameters are spread over buffers.
func TestGradientRanges(t *testing.T) {
	for _, buffer := range []int64{1 << 30, 8 << 10} {
		ps := NewParams(0, Limits{Binding: 1 << 30, Buffer: buffer})
		g := benchModel(ps, machineShape)
		unused := ps.Matrix("unused", 3, 5)
		require.NoError(t, ps.Layout(ForTraining))
		ps.Limits.Buffer = 1 << 30
		g.inputs.limit = 1 << 30
		plan, err := g.PlanTraining(AdamW{})
		require.NoError(t, err)
		if buffer < 1<<30 {
			require.Greater(t, len(ps.grads.sizes), 1)
		}
		for _, n := range []int{-1, 0, 1, 2, 3, 4, 7, 1000} {
			ranges := plan.Gradients(n)
			seen := make([]int, ps.Count())
			names, before := 0, GradientRange{Segment: 0}
			for _, r := range ranges {
				require.Positive(t, r.Elements)
				for i := range r.Elements {
					seen[r.First+i]++
				}
				names += len(r.Names)
				require.GreaterOrEqual(t, r.Segment, before.Segment, "they are in order")
				require.Less(t, r.Segment, max(n, 1))
				if r.Segment == before.Segment && before.Elements > 0 {
					require.Greater(t, r.First, before.First+before.Elements, "neighbours are merged")
				}
				before = r
			}
			require.NotContains(t, seen, 0)
			require.NotContains(t, seen, 2)
			require.Equal(t, parts(ps), names)
			last := ranges[len(ranges)-1]
			table := slices.IndexFunc(ranges, func(r GradientRange) bool { return slices.Contains(r.Names, "embedding") })
			require.Equal(t, last.Segment, ranges[table].Segment, "the head writes the gradient of the table first, the embedding last")
			if n <= 1 {
				require.Len(t, ranges, 1)
				require.EqualValues(t, ps.Count(), ranges[0].Elements)
			} else {
				require.Contains(t, ranges[0].Names, unused.Parts[0].Name, "what no kernel writes is final from the start")
				require.Equal(t, min(n, 4), min(last.Segment+1, 4))
			}
		}
		most := plan.cuts(1000)
		require.True(t, slices.IsSorted(most))
		require.Len(t, most, len(slices.Compact(slices.Clone(most))))
		require.Equal(t, plan.micro, most[len(most)-1])
	}
}

func parts(ps *Params) (n int) {
	for _, p := range ps.All() {
		n += len(p.Parts)
	}
	return n
}

// Segments have about equal work, except that the first has the whole forward pass.
func TestSegmentsShareTheWork(t *testing.T) {
	ps := NewParams(0, Limits{Binding: 1 << 30, Buffer: 1 << 30})
	g := benchModel(ps, benchShape{layers: 12, hidden: 64, ffn: 192, vocab: 64, batch: 2, seq: 64, heads: Heads{2, 2, 32}})
	require.NoError(t, ps.Layout(ForTraining))
	plan, err := g.PlanTraining(AdamW{})
	require.NoError(t, err)
	flops := func(from, to int) (n float64) {
		for _, c := range plan.calls[from:to] {
			n += c.src.Flops
		}
		return n
	}
	for _, n := range []int{2, 4, 6} {
		ends := plan.cuts(n)
		require.Len(t, ends, n)
		rest := flops(ends[0], plan.micro)
		for i := 1; i < n; i++ {
			require.InDelta(t, rest/float64(n-1), flops(ends[i-1], ends[i]), rest/float64(n-1)/3, "segment %d of %d", i, n)
		}
		if n == 2 {
			require.InDelta(t, 0.5, rest/flops(0, plan.micro), 0.1)
		}
	}
}

// Two machines with half of the micro-batches each, which add up their gradients
// in the order of their ranks, take the same step, and that of one machine with
// all micro-batches within rounding.
func TestTwoMachines(t *testing.T) {
	gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
		limits := LimitsOf(dev.Adapter())
		one := newMachine(t, dev, limits)
		ranks := []*machine{newMachine(t, dev, limits), newMachine(t, dev, limits)}
		const micro = 4
		for step := range 2 {
			one.begin(step, micro)
			for i := range micro {
				one.load(step*micro + i)
				if i == micro-1 {
					require.NoError(t, one.p.Step())
				} else {
					require.NoError(t, one.p.MicroBatch())
				}
			}
			for rank, m := range ranks {
				m.begin(step, micro)
				for i := range micro / 2 {
					m.load(step*micro + rank*micro/2 + i)
					require.NoError(t, m.p.MicroBatch())
				}
			}
			for _, r := range ranks[0].p.plan.Gradients(3) {
				sum := make([]float32, r.Elements)
				for _, m := range ranks {
					part := make([]float32, r.Elements)
					require.NoError(t, m.ps.ReadFlat(Grad, r.First, part))
					for i, v := range part {
						sum[i] += v
					}
				}
				for _, m := range ranks {
					require.NoError(t, m.ps.WriteFlat(Grad, r.First, sum))
				}
			}
			for _, m := range ranks {
				require.NoError(t, m.p.Update())
			}
			for _, slot := range []Slot{Master, FirstMoment, SecondMoment, Grad} {
				require.Equal(t, ranks[0].all(slot), ranks[1].all(slot), "%s", slot)
			}
			a, b, whole := ranks[0].result(step), ranks[1].result(step), one.result(step)
			require.Equal(t, a.GradNorm, b.GradNorm)
			require.InEpsilon(t, whole.GradNorm, a.GradNorm, 1e-5)
			require.InEpsilon(t, whole.Loss, a.Loss+b.Loss, 1e-5, "each machine records its share of the loss")
			if step == 0 { // then rounding turns single ternary weights
				near(t, "first moment", widen(one.all(FirstMoment)), widen(ranks[0].all(FirstMoment)), 1e-5)
				near(t, "second moment", widen(one.all(SecondMoment)), widen(ranks[0].all(SecondMoment)), 1e-4)
				near(t, "weights", widen(one.all(Master)), widen(ranks[0].all(Master)), 1e-4)
			}
		}
	})
}

// Flat reads and writes reach exactly the values that they name.
func TestFlat(t *testing.T) {
	gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
		ps := NewParams(TargetOf(dev.Adapter()), Limits{Binding: 1 << 20, Buffer: 8 << 10})
		for i, shape := range [][2]int{{1, 1024}, {2, 512}, {3, 37}, {1, 1}, {1, 1536}, {5, 55}, {7, 11}} {
			ps.Matrix(string(rune('a'+i)), shape[0], shape[1])
		}
		require.NoError(t, ps.Layout(ForTraining))
		require.NoError(t, ps.Allocate(dev))
		defer ps.Release()
		require.Greater(t, len(ps.grads.sizes), 2)
		n := int(ps.Count())
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(i + 1)
		}
		require.NoError(t, ps.WriteFlat(Grad, 0, values))
		at := 0
		for _, p := range ps.All() {
			got := make([]float32, p.Rows*p.Cols)
			require.NoError(t, p.Read(Grad, got))
			require.Equal(t, values[at:][:len(got)], got)
			at += len(got)
		}
		for _, r := range [][2]int{{0, n}, {0, 0}, {n, 0}, {5, 1}, {1023, 2}, {2040, 200}, {2047, 113}, {2159, 1}, {3000, n - 3000}, {n - 1, 1}} {
			got := make([]float32, r[1])
			require.NoError(t, ps.ReadFlat(Grad, r[0], got))
			require.Equal(t, values[r[0]:][:r[1]], got)
		}
		require.NoError(t, ps.WriteFlat(Grad, 2158, []float32{-1, -2, -3}))
		copy(values[2158:], []float32{-1, -2, -3})
		got := make([]float32, n)
		require.NoError(t, ps.ReadFlat(Grad, 0, got))
		require.Equal(t, values, got)
		padding := 0
		for _, words := range readWords(t, ps.grads) {
			for _, w := range words {
				if math.Float32frombits(w) == 0 {
					padding++
				}
			}
		}
		require.EqualValues(t, ps.grads.size()/4-int64(n), padding, "the padding stays zero")
		for _, r := range [][2]int{{-1, 1}, {0, n + 1}, {n, 1}} {
			require.ErrorContains(t, ps.ReadFlat(Grad, r[0], make([]float32, r[1])), "all parameters")
		}
	})
}
