package train

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/model/modeltest"
	"bitnet/bitnet/runs"
	"bitnet/data"
	"bitnet/graph"
)

// Gradients of known noise: the gradient of n tokens is G plus noise of variance
// s^2 / n in each of d dimensions, so that the noise scale is d s^2 / |G|^2. The part is
// contained in the step, as in a run, and only half of all tokens carry loss.
func TestNoiseScaleOfKnownNoise(t *testing.T) {
	const dims, deviation = 200, 3.0
	rng := rand.New(rand.NewPCG(1, 2))
	mean := make([]float64, dims)
	square := 0.0
	for i := range mean {
		mean[i] = rng.NormFloat64()
		square += mean[i] * mean[i]
	}
	want := 2 * dims * deviation * deviation / square // in words of all tokens
	for _, sizes := range [][2]float64{{4, 8}, {4, 32}, {3, 16}} {
		part, whole := sizes[0], sizes[1]
		var n *runs.Noise
		sum, known := 0.0, 0
		for range 400 {
			partSquare, wholeSquare := 0.0, 0.0
			for _, g := range mean {
				a := g + deviation/math.Sqrt(part)*rng.NormFloat64()
				b := g + deviation/math.Sqrt(whole-part)*rng.NormFloat64()
				all := (part*a + (whole-part)*b) / whole
				partSquare += math.Pow(a*part/whole, 2) // what the device sums
				wholeSquare += all * all
			}
			m := measurement{tokens: 2 * whole, part: part, whole: whole, norm: math.Sqrt(partSquare)}
			n = m.addTo(n, math.Sqrt(wholeSquare))
			if scale, ok := noiseScale(n); ok {
				sum += scale
				known++
			}
		}
		require.Greater(t, known, 300)
		require.InEpsilon(t, want, sum/float64(known), 0.1, "part %g of %g", part, whole)
	}
	// Noise without a gradient has no scale.
	var n *runs.Noise
	for range 100 {
		a, b := rng.NormFloat64(), rng.NormFloat64()
		m := measurement{tokens: 2, part: 1, whole: 2, norm: math.Abs(a) / 2}
		n = m.addTo(n, math.Abs(a+b)/2)
	}
	_, known := noiseScale(n)
	require.False(t, known, "%+v", n)
	require.Equal(t, n, (&measurement{tokens: 2, part: 1, whole: 2, norm: math.Inf(1)}).addTo(n, 1), "what is not finite does not count")
}

// A run finds the noise of its gradients as they are, whether it compares micro-batches
// or halves of one: the reference reads each micro-batch's gradient of the same data.
func TestNoiseOfARun(t *testing.T) {
	dev := modeltest.Device(t)
	const steps = 48
	var scales []float64
	for _, sets := range [][]string{{"batch_size=2", "grad_accum=2"}, {"batch_size=4", "grad_accum=1"}} {
		c := tiny(t)
		for _, s := range append([]string{"steps=48", "learning_rate=1e-9", "warmup_steps=1", "noise_interval=1", "checkpoint_interval=0", "loss_on_all=true", "precision=f32", "log_interval=48"}, sets...) {
			require.NoError(t, c.Set(s))
		}
		var notes []string
		tr := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "noise"}, Events{Note: func(s string) { notes = append(notes, s) }})
		if sets[1] == "grad_accum=2" {
			scales = append(scales, referenceScale(t, tr, 2*steps))
		}
		require.NoError(t, tr.Train(context.Background()))
		got, known := noiseScale(tr.state.Noise)
		require.True(t, known, "%+v", tr.state.Noise)
		scales = append(scales, got)
		require.EqualValues(t, steps, tr.state.Noise.Count)
		require.InDelta(t, got, metricsOf(t, tr.Run.Dir)[steps].Get(runs.NoiseTokens), 1e-6*got)
		require.Contains(t, notes[len(notes)-1], "gradient noise: steps of about ")
	}
	require.InEpsilon(t, scales[0], scales[1], 0.35, "first micro-batches: %v", scales)
	require.InEpsilon(t, scales[0], scales[2], 0.35, "halves: %v", scales)
}

// referenceScale is the noise scale in tokens of the next micro-batches of a run, by the
// mean and the variance of their gradients. It leaves the run as it was.
func referenceScale(t *testing.T, tr *Trainer, micro int) float64 {
	t.Helper()
	ps, src := tr.model.Params, tr.task.Train()
	at := src.Position()
	mean, values := make([]float64, ps.Count()), make([]float32, ps.Count())
	squares, counted := 0.0, 0
	b := data.NewPackedBatch(tr.share.Rows, tr.Config.Train.SeqLen)
	if tr.batches[0].Begins == nil {
		b.Begins = nil
	}
	for range micro {
		require.NoError(t, src.Next(b))
		n := lossTokens(b)
		counted += n
		require.NoError(t, ps.SetStep(graph.StepValues{LossTokens: n, MaxNorm: 1}))
		require.NoError(t, infer.LoadBatch(tr.program, b, tr.Config.Model.VocabSize))
		require.NoError(t, tr.program.MicroBatch())
		require.NoError(t, ps.ReadFlat(graph.Grad, 0, values))
		require.NoError(t, tr.noise.meter.Discard())
		for i, v := range values {
			mean[i] += float64(v) / float64(micro)
			squares += float64(v) * float64(v) / float64(micro)
		}
	}
	require.NoError(t, src.Seek(at))
	square := 0.0
	for _, v := range mean {
		square += v * v
	}
	variance := (squares - square) * float64(micro) / float64(micro-1) // of a micro-batch
	return variance * float64(len(b.Inputs)) / (square - variance/float64(micro))
}

// Measuring changes no weight and no loss; a run that was stopped between measurements
// finds the same noise.
func TestNoiseChangesNothing(t *testing.T) {
	dev := modeltest.Device(t)
	for _, accum := range []string{"grad_accum=1", "grad_accum=2"} {
		c := tiny(t)
		for _, s := range []string{"steps=12", "warmup_steps=2", "checkpoint_interval=0", accum} {
			require.NoError(t, c.Set(s))
		}
		plain := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "plain"}, Events{})
		require.NoError(t, plain.Train(context.Background()))
		require.NoError(t, c.Set("noise_interval=3"))
		whole := begin(t, c, dev, Start{RunsDir: t.TempDir(), RunID: "whole"}, Events{})
		require.NoError(t, whole.Train(context.Background()))
		require.Equal(t, finalSum(t, plain.Run.Dir, 12), finalSum(t, whole.Run.Dir, 12))
		require.EqualValues(t, 4, whole.state.Noise.Count, "of steps 0, 3, 6 and 9")
		require.Nil(t, plain.state.Noise)
		for step, m := range metricsOf(t, plain.Run.Dir) {
			require.Equal(t, m.Get(runs.Loss), metricsOf(t, whole.Run.Dir)[step].Get(runs.Loss))
		}
		run := stopAt(t, c, 5)
		rest := begin(t, c, dev, Start{Resume: run.Dir}, Events{})
		require.NoError(t, rest.Train(context.Background()))
		require.Equal(t, whole.state.Noise, rest.state.Noise)
	}
	c := tiny(t)
	for _, s := range []string{"noise_interval=3", "batch_size=1", "grad_accum=1"} {
		require.NoError(t, c.Set(s))
	}
	require.ErrorContains(t, c.Check(), "a step has one sequence: raise --batch-size or --grad-accum")
	require.NoError(t, c.Set("noise_interval=-1"))
	require.ErrorContains(t, c.Check(), "output.noise_interval is -1")
}

func TestBatchAdvice(t *testing.T) {
	known := func(scale float64) *runs.Noise {
		return &runs.Noise{Count: 50, Signal: 1, Square: 1.1, Spread: scale}
	}
	require.Equal(t, "steps of about 24,000 tokens would take 6.5 times fewer steps than yours of 2,000, for 1.8 times the tokens: larger than that hardly pays", batchAdvice(known(24012), 2000))
	require.Equal(t, "steps of about 500 tokens would need 2.5 times fewer tokens than yours of 2,000, in 1.6 times as many steps", batchAdvice(known(499), 2000))
	require.Equal(t, "steps of 2,000 tokens are near the noise scale of about 2,100: a good size", batchAdvice(known(2087), 2000))
	require.Contains(t, batchAdvice(&runs.Noise{Count: 7, Signal: 1, Square: 1, Spread: 9}, 10), "too few measurements")
	require.Contains(t, batchAdvice(nil, 10), "too few measurements")
	require.Contains(t, batchAdvice(&runs.Noise{Count: 50, Signal: 1, Square: 1000, Spread: 9}, 10), "probably far above the 10 tokens of a step")
}
