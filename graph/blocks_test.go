package graph

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/gpu/gputest"
)

// blocksShape has a table in three blocks, and gate and up in a block each, where a
// binding has 64 KiB; blocks of moments do not cross those of the table.
var blocksShape = benchShape{layers: 1, hidden: 64, ffn: 160, vocab: 600, batch: 2, seq: 8, heads: Heads{2, 1, 32}}

// boundTo is the adapter's limits but for what it binds at once.
func boundTo(dev *gpu.Device, binding int64) Limits {
	l := LimitsOf(dev.Adapter())
	l.Binding = binding
	return l
}

// loadBlocks gives a machine of blocksShape a micro-batch.
func loadBlocks(t *testing.T, m *machine, number int) {
	t.Helper()
	vocab := blocksShape.vocab
	tokens, targets := make([]uint32, m.g.Tokens()), make([]uint32, m.g.Tokens())
	for i := range tokens {
		tokens[i] = uint32((i*i*7 + number*5) % vocab)
		targets[i] = uint32((i*i*11 + number*3) % vocab)
	}
	targets[3] = 0xffffffff
	require.NoError(t, m.p.Load(tokens, targets, vocab))
}

// largest is the largest size that a kernel of a program binds of parameters.
func largestBinding(t *testing.T, p *Program) (n int64) {
	t.Helper()
	calls, err := p.Calls()
	require.NoError(t, err)
	for _, c := range calls {
		for _, b := range c.Bindings {
			n = max(n, b.Size)
		}
	}
	return n
}

// A model whose table and projections are over what an adapter binds computes the
// same loss and gradients in blocks, but for the order of one sum, and the same
// update of them to the bit.
func TestModelsInBlocks(t *testing.T) {
	for _, row := range []struct {
		name      string
		opt       Optimizer
		precision Precision
		tolerance float64
	}{
		{"AdamW", AdamW{0.9, 0.95, 1e-8}, Float32, 1e-5},
		{"moments of 8 bits", AdamW8{AdamW{0.9, 0.95, 1e-8}}, Float32, 1e-5},
		{"Muon", Muon{0.95, AdamW{0.9, 0.95, 1e-8}}, Float32, 1e-5},
		{"int8", AdamW{0.9, 0.95, 1e-8}, IntegerGradients, 2e-2},
	} {
		t.Run(row.name, func(t *testing.T) {
			gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
				var machines []*machine
				for _, binding := range []int64{LimitsOf(dev.Adapter()).Binding, 64 << 10} {
					m := newMachineOf(t, dev, boundTo(dev, binding), row.opt, blocksShape, KeepAll, row.precision)
					m.begin(0, 1)
					loadBlocks(t, m, 0)
					machines = append(machines, m)
				}
				whole, split := machines[0], machines[1]
				table, projections := split.ps.All()[0], 0
				require.Len(t, table.blocks, 3)
				for _, p := range split.ps.All() {
					if p.IsTernary() && p.blocks != nil {
						projections++
					}
				}
				require.Equal(t, 1, projections)
				require.Greater(t, largestBinding(t, whole.p), int64(64<<10))
				require.LessOrEqual(t, largestBinding(t, split.p), int64(64<<10))
				require.Equal(t, readWords(t, whole.ps.codes), readWords(t, split.ps.codes), "the ternary form is the same")

				for _, m := range machines {
					require.NoError(t, m.p.MicroBatch())
				}
				losses := make([]float32, whole.g.Tokens())
				inBlocks := make([]float32, whole.g.Tokens())
				require.NoError(t, whole.p.Losses(losses))
				require.NoError(t, split.p.Losses(inBlocks))
				near(t, "losses", floats64(losses), floats64(inBlocks), 1e-6)
				for i, p := range whole.ps.All() {
					want, got := make([]float32, p.size()), make([]float32, p.size())
					require.NoError(t, p.Read(Grad, want))
					require.NoError(t, split.ps.All()[i].Read(Grad, got))
					require.Greater(t, nonzero(want), 0)
					near(t, "gradient of "+p.Parts[0].Name, floats64(want), floats64(got), row.tolerance)
				}

				grads := whole.all(Grad)
				require.NoError(t, split.ps.WriteFlat(Grad, 0, grads))
				for _, m := range machines {
					require.NoError(t, m.ps.SetStep(StepValues{LearningRate: 1e-2, WeightDecay: 0.1, LossTokens: 1, MaxNorm: 1e9, Beta1: 0.9, Beta2: 0.95}))
					require.NoError(t, m.p.Update())
				}
				require.Equal(t, whole.all(Master), split.all(Master))
				require.Equal(t, make([]float32, len(grads)), split.all(Grad))
				for i, p := range whole.ps.All() {
					for _, s := range []Slot{FirstMoment, SecondMoment} {
						q := split.ps.All()[i]
						require.Equal(t, p.Keeps(s), q.Keeps(s))
						if p.Keeps(s) {
							want, got := make([]float32, p.size()), make([]float32, p.size())
							require.NoError(t, p.Read(s, want))
							require.NoError(t, q.Read(s, got))
							require.Equal(t, want, got)
						}
					}
				}
				require.Equal(t, readWords(t, whole.ps.codes), readWords(t, split.ps.codes))
				require.Equal(t, readWords(t, whole.ps.scales), readWords(t, split.ps.scales))
			})
		})
	}
}

// The values of a parameter in blocks are read and written as of any other.
func TestBlocksAreReadAndWritten(t *testing.T) {
	gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
		for _, storage := range []Storage{ForTraining, ForTraining8} {
			ps := NewParams(TargetOf(dev.Adapter()), boundTo(dev, 16<<10))
			norm := ps.Vector("norm", 9)
			p := ps.Matrix("table", 150, 33)
			require.NoError(t, ps.Layout(storage))
			require.NoError(t, ps.Allocate(dev))
			defer ps.Release()
			require.Len(t, p.blocks, 3)
			want := random(1, 150, 33).f32()
			require.NoError(t, p.Write(Master, want))
			require.NoError(t, norm.Write(Master, want[:9]))
			for _, s := range []Slot{FirstMoment, SecondMoment} {
				require.True(t, p.Keeps(s))
				positive := make([]float32, len(want))
				for i := range positive {
					positive[i] = float32(i%256) / 7
				}
				require.NoError(t, p.Write(s, positive))
				first := make([]float32, len(want))
				require.NoError(t, p.Read(s, first))
				require.NoError(t, p.Write(s, first))
				again := make([]float32, len(want))
				require.NoError(t, p.Read(s, again))
				require.Equal(t, first, again)
				near(t, s.String(), floats64(positive), floats64(again), 0.02)
			}
			for _, r := range [][2]int{{0, 150}, {0, 64}, {63, 2}, {64, 86}, {10, 130}, {149, 1}} {
				got := make([]float32, r[1]*33)
				require.NoError(t, p.ReadRows(Master, r[0], got))
				require.Equal(t, want[r[0]*33:][:len(got)], got)
			}
			all := make([]float32, ps.Count())
			require.NoError(t, ps.ReadFlat(Master, 0, all))
			require.Equal(t, append(append([]float32(nil), want...), want[:9]...), all)
			require.NoError(t, ps.WriteFlat(Master, 64*33-5, []float32{1, 2, 3, 4, 5, 6, 7}))
			part := make([]float32, 33)
			require.NoError(t, p.ReadRows(Master, 64, part))
			require.Equal(t, []float32{6, 7}, part[:2])

			require.ErrorContains(t, p.Write(Master, want[:150]), "table [150, 33] has 4950 values, not 150")
			require.ErrorContains(t, p.Read(Grad, all), "has 4950 values, not 4959")
			require.ErrorContains(t, p.ReadRows(Master, 149, all[:34]), "table has 4950 values")
			require.ErrorContains(t, p.ReadRows(Master, -1, part), "table has 4950 values")
		}
	})
}

// What cannot be cut is refused, by name.
func TestBlocksThatCannotBe(t *testing.T) {
	gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
		for want, declare := range map[string]func(ps *Params){
			"norm [1, 5000] needs":        func(ps *Params) { ps.Vector("norm", 5000) },
			"table [2, 5000] needs":       func(ps *Params) { ps.Matrix("table", 2, 5000) },
			"up, block 2 [100, 90] needs": func(ps *Params) { ps.Ternary(90, Part{"up", 9}, Part{"gate", 100}) },
			"down [100, 90] needs":        func(ps *Params) { ps.Ternary(90, Part{"down", 100}) },
		} {
			ps := NewParams(TargetOf(dev.Adapter()), boundTo(dev, 16<<10))
			declare(ps)
			require.ErrorContains(t, ps.Layout(ForTraining), want)
		}
	})
}

// Gradients in blocks are final when their last block is, and a step in segments is
// the same to the bit.
func TestSegmentsInBlocks(t *testing.T) {
	gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
		m := newMachineOf(t, dev, boundTo(dev, 64<<10), AdamW{0.9, 0.95, 1e-8}, blocksShape, KeepAll, Float32)
		m.begin(0, 1)
		loadBlocks(t, m, 1)
		segments, err := m.p.Segments(4)
		require.NoError(t, err)
		require.Len(t, segments, 4)
		early := make([]float32, m.ps.Count())
		ranges := 0
		for _, s := range segments {
			require.NoError(t, s.Run())
			for _, r := range s.Gradients {
				require.NoError(t, m.ps.ReadFlat(Grad, r.First, early[r.First:][:r.Elements]))
				ranges += r.Elements
			}
		}
		require.Equal(t, len(early), ranges)
		require.Equal(t, m.all(Grad), early)
	})
}

// A frozen table in blocks passes the gradient of the loss on, and has none of its own.
func TestFrozenTableInBlocks(t *testing.T) {
	gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
		var grads [2][]float32
		for i, binding := range []int64{LimitsOf(dev.Adapter()).Binding, 64 << 10} {
			ps := NewParams(TargetOf(dev.Adapter()), boundTo(dev, binding))
			table := ps.Matrix("table", 600, 64)
			ps.Freeze()
			norm := ps.Vector("norm", 64)
			g := New(ps, 1, 8)
			g.Loss(g.RMSNorm(g.Embedding(table), norm, 1e-5), table)
			require.NoError(t, ps.Layout(ForTraining))
			plan, err := g.PlanTraining(AdamW{0.9, 0.95, 1e-8})
			require.NoError(t, err)
			require.NoError(t, ps.Allocate(dev))
			defer ps.Release()
			p, err := plan.Compile(dev)
			require.NoError(t, err)
			defer p.Release()
			require.NoError(t, table.Write(Master, random(1, 600, 64).f32()))
			require.NoError(t, norm.Write(Master, random(2, 1, 64).f32()))
			require.NoError(t, ps.SetStep(StepValues{LossTokens: 8, Beta1: 0.9, Beta2: 0.95}))
			require.NoError(t, p.Load([]uint32{5, 599, 256, 255, 5, 0, 511, 512}, []uint32{599, 256, 255, 5, 0, 511, 512, 7}, 600))
			require.NoError(t, p.MicroBatch())
			require.False(t, table.Keeps(Grad))
			require.True(t, table.Keeps(Master))
			require.Len(t, table.stored(), 1+2*i)
			grads[i] = make([]float32, 64)
			require.NoError(t, norm.Read(Grad, grads[i]))
		}
		near(t, "gradient", floats64(grads[0]), floats64(grads[1]), 1e-6)
	})
}

// The logits of a table in blocks are those of one in one piece: in float32, and from
// int8, where the largest of a row is exact.
func TestLogitsInBlocks(t *testing.T) {
	const vocab, hidden, n = 5000, 64, 11
	gputest.OnEvery(t, func(t *testing.T, dev *gpu.Device) {
		values, x := random(1, vocab, hidden).f32(), make([]uint32, n)
		for i := range x {
			x[i] = uint32(i * 433)
		}
		logits := func(t *testing.T, storage Storage, binding int64, blocks int) []float32 {
			ps := NewParams(TargetOf(dev.Adapter()), boundTo(dev, binding))
			table := ps.Matrix("table", vocab, hidden)
			require.NoError(t, ps.Layout(storage))
			require.Len(t, table.stored(), blocks)
			g := New(ps, 1, n)
			g.Logits(g.Embedding(table), table, n, false)
			plan, err := g.PlanForward()
			require.NoError(t, err)
			require.NoError(t, ps.Allocate(dev))
			defer ps.Release()
			p, err := plan.Compile(dev)
			require.NoError(t, err)
			defer p.Release()
			require.LessOrEqual(t, largestBinding(t, p), binding)
			require.NoError(t, table.Write(Master, values))
			rows := make([]uint32, n)
			for i := range rows {
				rows[i] = uint32(i)
			}
			require.NoError(t, p.SetRows(rows))
			require.NoError(t, p.SetTokens(x))
			require.NoError(t, p.MicroBatch())
			all := make([]float32, n*vocab)
			require.NoError(t, p.Logits(all))
			some := make([]float32, vocab+vocab/2)
			require.NoError(t, p.Logits(some))
			require.Equal(t, all[:len(some)], some)
			require.ErrorContains(t, p.Logits(make([]float32, n*vocab+1)), "room for 1 logits more")
			require.Equal(t, storage == ForInference, table.shortened())
			return all
		}
		binding := LimitsOf(dev.Adapter()).Binding
		exact := logits(t, ForEvaluation, binding, 1)
		require.Equal(t, exact, logits(t, ForEvaluation, 600<<10, 3))
		short := logits(t, ForInference, 600<<10, 3)
		near(t, "logits from int8", floats64(exact), floats64(short), 0.05)
		require.NotEqual(t, exact, short)
		for i := range n {
			want, got := exact[i*vocab:][:vocab], short[i*vocab:][:vocab]
			require.Equal(t, argmax(want), argmax(got), fmt.Sprint(i))
			require.InEpsilon(t, want[argmax(want)], got[argmax(got)], 1e-5)
		}
	})
}

func argmax(v []float32) (at int) {
	for i := range v {
		if v[i] > v[at] {
			at = i
		}
	}
	return at
}
