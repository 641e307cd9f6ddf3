package cost

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/bench"
	"bitnet/bitnet/cluster"
	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/train"
)

// The formulas, worked out by hand.
func TestFormulas(t *testing.T) {
	small := modelfile.Config{VocabSize: 10, HiddenSize: 8, IntermediateSize: 12, Layers: 2, Heads: 2, KVHeads: 1}
	card := Device{Name: "card", F32: 10, F16Matrix: 40, Memory: 8, Bandwidth: 100}
	whole := Run{Params: 1e6, Tokens: 3e9, TokenFlops: 7e6, StepTokens: 1000, Dispatches: 100, Memory: []Part{{"all", 9e9}}}
	bare := OfParams(1e6, 3e9)
	on := func(r Run, matrix bool, share float64) Estimate {
		e, err := r.On(card, matrix, share)
		require.NoError(t, err)
		return e
	}
	for _, row := range []struct {
		name      string
		got, want float64
	}{
		{"6N", DenseFlops(1e6), 6e6},
		{"20 tokens per parameter", float64(ChinchillaTokens(1e6)), 20e6},
		// 10*8 + 2*(8*(8+2*4) + 8*8 + 3*8*12 + 3*8+12) + 8
		{"parameters", float64(params(small)), 80 + 2*(128+64+288+36) + 8},
		{"attention", attentionFlops(small, 15), 9 * 2 * 8 * 16},
		{"state", float64(bare.Bytes()), 16.25e6},
		{"6ND", bare.Flops(), 18e15},
		{"the plan's count", whole.Flops(), 21e15},
		// 6e6 / (10e12 * 0.5) seconds per token
		{"tokens per second", on(bare, false, 0.5).TokensPerSec, 5e12 / 6e6},
		{"seconds", on(bare, false, 0.5).Seconds, 3e9 * 6e6 / 5e12},
		{"seconds of matrix units", on(bare, true, 0.5).Seconds, 3e9 * 6e6 / 20e12},
		// a step: 7e9 / 5e12 + 40.25e6 / 70e9 + 100 * 5e-6
		{"seconds of steps", on(whole, false, 0.5).Seconds, 3e6 * (7e9/5e12 + 40.25e6/70e9 + 5e-4)},
		{"measured", whole.Measured(&bench.Step{GFlops: 70}).TokensPerSec, 1e4},
		{"money", Estimate{Seconds: 7200}.Money(1.5), 3},
	} {
		require.InEpsilon(t, row.want, row.got, 1e-9, row.name)
	}
	require.True(t, on(bare, false, 0.5).Fits)
	require.False(t, on(whole, false, 0.5).Fits)
	card.F16Matrix = 0
	_, err := whole.On(card, true, 0.5)
	require.ErrorContains(t, err, "--matrix")
}

// The formulas of docs/cost.md against what the plan of each preset holds.
func TestPresets(t *testing.T) {
	require.NotEmpty(t, train.Presets())
	for _, name := range train.Presets() {
		t.Run(name, func(t *testing.T) {
			c, err := train.Preset(name)
			require.NoError(t, err)
			r, err := OfConfig(c, Card(), 0)
			require.NoError(t, err)
			require.Equal(t, params(c.Model), r.Params)
			// What 6N and attention leave out: norms, activations, rope, the loss.
			formula := DenseFlops(r.Params) + attentionFlops(c.Model, c.Train.SeqLen)
			require.InEpsilon(t, r.TokenFlops, formula, 0.03)
			var state int64
			for _, p := range StateBytes(r.Params) {
				state += p.Bytes
			}
			require.Less(t, state, r.Bytes()+r.Params/8, "activations come on top of it")
			require.Positive(t, r.StepTokens)
			require.Positive(t, r.Dispatches)
			require.Equal(t, name == "tinystories" || name == "baseline", r.Passes > 0)
			require.Less(t, r.Passes, 4.0)
			require.Equal(t, r.StepTokens*int64(c.Train.Steps), r.Tokens)

			asked, err := OfConfig(c, Card(), 1e6)
			require.NoError(t, err)
			require.EqualValues(t, 1e6, asked.Tokens)
		})
	}
}

func TestDevices(t *testing.T) {
	all := Devices()
	require.Greater(t, len(all), 20)
	seen := map[string]bool{}
	for _, d := range all {
		require.False(t, seen[d.Name], d.Name)
		seen[d.Name] = true
		require.Positive(t, d.F32, d.Name)
		require.Positive(t, d.Memory, d.Name)
		require.Positive(t, d.Bandwidth, d.Name)
		require.True(t, d.F16Matrix == 0 || d.F16Matrix > d.F32, d.Name)
		found, err := Find(d.Name)
		require.NoError(t, err)
		require.Equal(t, d, found)
	}
	for _, row := range []struct{ want, name, err string }{
		{"4090", "NVIDIA GeForce RTX 4090", ""},
		{"rtx 3060", "NVIDIA GeForce RTX 3060", ""},
		{"m1", "Apple M1", ""},
		{"M1 max", "Apple M1 Max", ""},
		{"H100", "", "NVIDIA H100 PCIe, NVIDIA H100 SXM"},
		{"voodoo", "", "--device this"},
		{"", "", "no card"},
	} {
		d, err := Find(row.want)
		if row.err != "" {
			require.ErrorContains(t, err, row.err, row.want)
			continue
		}
		require.NoError(t, err, row.want)
		require.Equal(t, row.name, d.Name)
	}
}

func TestReadBench(t *testing.T) {
	good, err := bench.JSON(&bench.Step{Machine: bench.Machine{Device: "a card"}, GFlops: 30, Experiment: "arithmetic"})
	require.NoError(t, err)
	for _, row := range []struct{ name, text, err string }{
		{"good", string(good), ""},
		{"another benchmark", `{"bench":"peak","result":{}}`, "(peak)"},
		{"nothing measured", `{"bench":"step","result":{"gflops":0}}`, "does not hold a measured step"},
		{"empty", `{}`, "(nothing)"},
		{"no JSON", "step of 512 tokens", "bench step --json"},
	} {
		t.Run(row.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "step.json")
			require.NoError(t, os.WriteFile(path, []byte(row.text), 0o600))
			b, err := ReadBench(path)
			if row.err != "" {
				require.ErrorContains(t, err, row.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, "a card", b.Device)
			require.EqualValues(t, 30, b.GFlops)
		})
	}
	_, err = ReadBench(filepath.Join(t.TempDir(), "none"))
	require.ErrorContains(t, err, "reading the benchmark")
}

func TestAdvice(t *testing.T) {
	for _, row := range []struct {
		tokens int64
		want   string
	}{{0, ""}, {1e6, "fewer than the compute-optimal 20"}, {20e6, "compute-optimal is about 20"}, {100e6, "more than the compute-optimal 20 or so: right"}, {1e9, "far more than"}} {
		require.Contains(t, Advice(1e6, row.tokens), row.want)
	}
	require.Empty(t, Advice(1e6, 0))
}

// The table of docs/cost.md is that of devices.csv.
func TestDocumentedDevices(t *testing.T) {
	page, err := os.ReadFile("../../docs/cost.md")
	require.NoError(t, err)
	for _, d := range Devices() {
		matrix := "-"
		if d.F16Matrix > 0 {
			matrix = fmt.Sprint(d.F16Matrix)
		}
		require.Contains(t, string(page), fmt.Sprintf("| %s | %v | %s | %v | %v |\n", d.Name, d.F32, matrix, d.Memory, d.Bandwidth))
	}
}

// The formulas of docs/cost.md, which the plan of every preset is held against.

// params counts the parameters of a model: the table that embedding and head
// share, and in each layer the projections and the norms.
func params(m modelfile.Config) int64 {
	h, f := int64(m.HiddenSize), int64(m.IntermediateSize)
	kv := h / int64(m.Heads) * int64(m.KVHeads)
	attention := h*(h+2*kv) + h*h
	feedForward := 3 * h * f
	norms := 3*h + f
	return int64(m.VocabSize)*h + int64(m.Layers)*(attention+feedForward+norms) + h
}

// attentionFlops is what attention adds to 6N for a token, on average over a
// sequence: scores and sums over half of the positions, 2 products forward, 7
// backward, which computes the scores again.
func attentionFlops(m modelfile.Config, seq int) float64 {
	return 9 * float64(m.Layers) * float64(m.HiddenSize) * float64(seq+1)
}

// The formula of several workers, worked out by hand.
func TestSeveralWorkers(t *testing.T) {
	r := Run{Params: 1e9 / 8, StepTokens: 1000, GradAccum: 2, Buckets: 5, LastBucket: 0.25}
	alone := Estimate{Device: "card", TokensPerSec: 500} // 2 s a step
	s := r.Scale(alone, Workers{N: 4, Link: 8e9, Format: cluster.Float32})
	require.Len(t, s, len(ways))
	require.Equal(t, "synchronous (mpirun)", s[0].Way)
	require.InEpsilon(t, 2*3./4*4*1e9/8, s[0].Bytes, 1e-9)
	const copies, travel = (1.5e9 + 2*0.75e9) / 1.5e9, 0.75e9 / 0.94e9 // 2 s of copying hide most of 0.8 s on the link
	e := copies + 0.25*travel + 5*200e-6
	require.InEpsilon(t, e, s[0].Exchange, 1e-9)
	require.InEpsilon(t, 4*2/(2+0.25*e+(0.75*e-0.6*2/2)), s[0].LargerBatch, 1e-9)
	require.InEpsilon(t, 2/(0.5+0.25*e+(0.75*e-0.6*0.5)), s[0].SameBatch, 1e-9)
	require.Equal(t, "local steps (swarm)", s[1].Way)
	n := 1e9/8 + 4*math.Ceil(1e9/8/256.)
	wait := 2 * 4 * n / (0.94e9) // all changes to the meeting point, and all answers back
	require.InEpsilon(t, n/100, s[1].Bytes, 1e-9)
	require.InEpsilon(t, 4*200/(200+wait), s[1].LargerBatch, 1e-9)
	require.InEpsilon(t, 200/(50+wait), s[1].SameBatch, 1e-9)
	half := r.Scale(alone, Workers{N: 4, Link: 8e9, Format: cluster.BFloat16})
	require.InEpsilon(t, s[0].Bytes/2, half[0].Bytes, 1e-9)
	// A fast link and memory hide all but the last bucket.
	fast := r.Scale(alone, Workers{N: 4, Link: 800e9, Format: cluster.Float32, Copy: 15e9})
	require.InEpsilon(t, 4*2/(2+0.25*fast[0].Exchange), fast[0].LargerBatch, 1e-9)

	// Memory of half the speed takes twice as long, and on a slow link hides behind it.
	slow := r.Scale(alone, Workers{N: 4, Link: 8e9, Format: cluster.Float32, Copy: 0.75e9})
	require.InEpsilon(t, e+copies, slow[0].Exchange, 1e-9)
	far := r.Scale(alone, Workers{N: 4, Link: 0.8e9, Format: cluster.Float32})
	require.InEpsilon(t, 10*travel+0.25*copies+5*200e-6, far[0].Exchange, 1e-9)

	for text, want := range map[string]float64{"10Gbit": 1e10, "2.5gbit/s": 2.5e9, " 100 Mbit": 1e8} {
		got, err := ParseLink(text)
		require.NoError(t, err, text)
		require.InEpsilon(t, want, got, 1e-9)
	}
	for _, text := range []string{"", "10", "fast", "-1Gbit", "0Gbit", "NaNGbit", "1e99Gbit", "10GB"} {
		_, err := ParseLink(text)
		require.Error(t, err, text)
	}
}

// docs/cost.md and the aim that it states: a step of baseline in 1,200 MiB, at no more
// than a fifth of the arithmetic again.
func TestLowMemoryOfBaseline(t *testing.T) {
	c, err := train.Preset("baseline")
	require.NoError(t, err)
	require.NoError(t, c.Set("memory=low"))
	require.NoError(t, c.Set("moments=8bit"))
	_, plan, err := train.Plan(c, Card())
	require.NoError(t, err)
	var bytes int64
	for _, m := range plan.Memory() {
		bytes += m.Bytes
	}
	t.Logf("%.1f MiB, %.1f%% again", float64(bytes)/(1<<20), 100*plan.Again())
	require.LessOrEqual(t, bytes, int64(1200<<20))
	require.Positive(t, plan.Again())
	require.LessOrEqual(t, plan.Again(), 0.2)
}
