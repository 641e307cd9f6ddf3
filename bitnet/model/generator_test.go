package model_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/model"
	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/train"
	"bitnet/gpu"
	"bitnet/graph"
	"bitnet/shaders"
)

// wholeLogits are the logits of every position by the training graph's forward pass.
func wholeLogits(t testing.TB, dev *gpu.Device, m *model.Model, tokens []uint32) [][]float32 {
	t.Helper()
	n := len(tokens)
	plan, err := m.PlanLogits(n)
	require.NoError(t, err)
	program, err := plan.Compile(dev)
	require.NoError(t, err)
	defer program.Release()
	rows := make([]uint32, n)
	for i := range rows {
		rows[i] = uint32(i)
	}
	require.NoError(t, program.SetRows(rows))
	require.NoError(t, program.Load(tokens, make([]uint32, n), m.Config.VocabSize))
	require.NoError(t, program.MicroBatch())
	all := make([]float32, n*m.Config.VocabSize)
	require.NoError(t, program.Logits(all))
	out := make([][]float32, n)
	for i := range out {
		out[i] = all[i*m.Config.VocabSize:][:m.Config.VocabSize]
	}
	return out
}

// Sequences of different lengths that grow by chunks and by single tokens,
// and shrink again, have the logits of whole sequences. Attention sums in
// another order, so that now and then an activation rounds to the next int8
// code: 2e-2 bounds what that moves, and most positions stay within 1e-4.
func TestGeneratorMatchesTheTrainingGraph(t *testing.T) {
	dev := modeltest.Device(t)
	targets := []shaders.Target{shaders.GPU, shaders.CPU}
	if dev.Adapter().Has(gpu.UniformTable) {
		targets = append(targets, shaders.CPUTable)
	}
	for _, target := range targets {
		for _, act := range []string{"silu", "relu2"} {
			t.Run(fmt.Sprint(target, " ", act), func(t *testing.T) {
				c := modelfile.Config{VocabSize: 75, HiddenSize: 96, IntermediateSize: 160, Layers: 2, Heads: 6, KVHeads: 2,
					HiddenAct: act, MaxPositions: 64, NormEps: 1e-5, RopeTheta: 10000}
				m := modeltest.Random(t, dev, c, target)
				// Kernels for another kind of adapter take seconds each to compile: its own do for this.
				whole := modeltest.Random(t, dev, c, graph.TargetOf(dev.Adapter()))
				rng := rand.New(rand.NewPCG(5, 6))
				sequences := make([][]uint32, 3)
				want := make([][][]float32, 3)
				for i := range sequences {
					for range 40 {
						sequences[i] = append(sequences[i], uint32(rng.IntN(75)))
					}
					want[i] = wholeLogits(t, dev, whole, sequences[i])
				}
				g, err := infer.NewGenerator(m, 3, 64)
				require.NoError(t, err)
				defer g.Release()
				at, near, checked := []int{0, 0, 0}, 0, 0
				feed := func(n ...int) {
					t.Helper()
					next := make([][]uint32, 3)
					for i := range next {
						next[i] = sequences[i][at[i] : at[i]+n[i]]
						at[i] += n[i]
					}
					logits, err := g.Feed(t.Context(), next)
					require.NoError(t, err)
					for i := range next {
						if n[i] == 0 {
							require.Nil(t, logits[i])
							continue
						}
						worst := 0.0
						for j, v := range logits[i] {
							worst = max(worst, math.Abs(float64(v-want[i][at[i]-1][j])))
						}
						require.Less(t, worst, 2e-2, "sequence %d, position %d", i, at[i]-1)
						checked++
						if worst < 1e-4 {
							near++
						}
					}
				}
				feed(1, 1, 1)
				feed(5, 0, 17)
				feed(1, 1, 1)
				feed(0, 30, 2)
				feed(1, 1, 0)
				g.Truncate(1, 3)
				at[1] = 3
				feed(3, 4, 1)
				feed(1, 1, 1)
				require.GreaterOrEqual(t, near, checked*3/4)
			})
		}
	}
}

// The shapes of every preset, with one layer and a smaller vocabulary.
func TestGeneratorMatchesInEveryPreset(t *testing.T) {
	dev := modeltest.Device(t)
	for _, name := range train.Presets() {
		t.Run(name, func(t *testing.T) {
			p, err := train.Preset(name)
			require.NoError(t, err)
			c := p.Model
			c.Layers, c.VocabSize = 1, min(c.VocabSize, 256)
			m := modeltest.Random(t, dev, c, graph.TargetOf(dev.Adapter()))
			rng := rand.New(rand.NewPCG(8, 9))
			tokens := make([]uint32, 20)
			for i := range tokens {
				tokens[i] = uint32(rng.IntN(c.VocabSize))
			}
			want := wholeLogits(t, dev, m, tokens)
			g, err := infer.NewGenerator(m, 1, 24)
			require.NoError(t, err)
			defer g.Release()
			for _, cut := range [][2]int{{0, 17}, {17, 18}, {18, 19}, {19, 20}} {
				logits, err := g.Feed(t.Context(), [][]uint32{tokens[cut[0]:cut[1]]})
				require.NoError(t, err)
				for j, v := range logits[0] {
					require.InDelta(t, want[cut[1]-1][j], v, 2e-2, "position %d, token %d", cut[1]-1, j)
				}
			}
		})
	}
}
