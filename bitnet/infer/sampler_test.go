package infer

import (
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// drawn is how often each token is chosen in n draws.
func drawn(s Sampling, n int, logits ...float32) []float64 {
	sampler := NewSampler(s)
	counts := make([]float64, len(logits))
	for range n {
		counts[sampler.Next(nil, slices.Clone(logits))] += 1 / float64(n)
	}
	return counts
}

func TestSampler(t *testing.T) {
	plain := Sampling{Temperature: 1, TopP: 1, RepetitionPenalty: 1}
	with := func(change func(*Sampling)) Sampling { s := plain; change(&s); return s }
	// p = 0.5, 0.3, 0.15, 0.05, not in order
	logits := []float32{float32(math.Log(0.15)), float32(math.Log(0.5)), float32(math.Log(0.05)), float32(math.Log(0.3))}
	for name, c := range map[string]struct {
		s    Sampling
		want []float64
	}{
		"plain":           {plain, []float64{0.15, 0.5, 0.05, 0.3}},
		"greedy":          {with(func(s *Sampling) { s.Temperature = 0 }), []float64{0, 1, 0, 0}},
		"half as hot":     {with(func(s *Sampling) { s.Temperature = 0.5 }), []float64{0.0225 / 0.365, 0.25 / 0.365, 0.0025 / 0.365, 0.09 / 0.365}},
		"top-k 2":         {with(func(s *Sampling) { s.TopK = 2 }), []float64{0, 0.625, 0, 0.375}},
		"top-k of all":    {with(func(s *Sampling) { s.TopK = 9 }), []float64{0.15, 0.5, 0.05, 0.3}},
		"top-p 0.5":       {with(func(s *Sampling) { s.TopP = 0.49 }), []float64{0, 1, 0, 0}},
		"top-p 0.9":       {with(func(s *Sampling) { s.TopP = 0.9 }), []float64{0.15 / 0.95, 0.5 / 0.95, 0, 0.3 / 0.95}},
		"min-p 0.5":       {with(func(s *Sampling) { s.MinP = 0.5 }), []float64{0, 0.625, 0, 0.375}},
		"min-p 1":         {with(func(s *Sampling) { s.MinP = 1 }), []float64{0, 1, 0, 0}},
		"top-k and min-p": {with(func(s *Sampling) { s.TopK, s.MinP = 3, 0.5 }), []float64{0, 0.625, 0, 0.375}},
	} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, c.s.Check())
			got := drawn(c.s, 20000, logits...)
			for i := range got {
				require.InDelta(t, c.want[i], got[i], 0.015)
			}
		})
	}
}

func TestSamplerIsRepeatable(t *testing.T) {
	draw := func(seed uint64) []uint32 {
		s := NewSampler(Sampling{Temperature: 1, TopP: 1, RepetitionPenalty: 1, Seed: seed})
		var out []uint32
		for range 50 {
			out = append(out, s.Next(nil, []float32{1, 1, 1, 1}))
		}
		return out
	}
	require.Equal(t, draw(1), draw(1))
	require.NotEqual(t, draw(1), draw(2))
}

func TestRepetitionPenalty(t *testing.T) {
	s := NewSampler(Sampling{TopP: 1, RepetitionPenalty: 2})
	require.EqualValues(t, 1, s.Next([]uint32{0, 0, 2}, []float32{3, 2, -1}), "3 was there: counts as 1.5")
	require.EqualValues(t, 0, s.Next([]uint32{2}, []float32{-1, -3, -0.6}), "-0.6 was there: counts as -1.2")
	old := append([]uint32{0}, make([]uint32, PenaltyWindow)...)
	for i := range PenaltyWindow {
		old[i+1] = 1
	}
	require.EqualValues(t, 0, s.Next(old, []float32{3, 1, 2}), "too long ago")
}

func TestSamplingCheck(t *testing.T) {
	nan := math.NaN()
	for _, change := range []func(*Sampling){
		func(s *Sampling) { s.Temperature = -1 }, func(s *Sampling) { s.Temperature = nan }, func(s *Sampling) { s.Temperature = math.Inf(1) },
		func(s *Sampling) { s.TopK = -1 }, func(s *Sampling) { s.TopP = 0 }, func(s *Sampling) { s.TopP = 1.1 }, func(s *Sampling) { s.TopP = nan },
		func(s *Sampling) { s.MinP = -0.1 }, func(s *Sampling) { s.MinP = nan }, func(s *Sampling) { s.RepetitionPenalty = 0 },
	} {
		s := DefaultSampling()
		require.NoError(t, s.Check())
		change(&s)
		require.Error(t, s.Check())
	}
}
