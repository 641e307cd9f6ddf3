package infer

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Sampling says how the next token is chosen.
type Sampling struct {
	Temperature float64 `json:"temperature"` // 0 picks the likeliest
	TopK        int     `json:"top_k"`       // keep the k likeliest; 0 keeps all
	TopP        float64 `json:"top_p"`       // keep the fewest that make up p together; 1 keeps all (Holtzman et al., 2020)
	MinP        float64 `json:"min_p"`       // keep those at least p times as likely as the likeliest; 0 keeps all (Nguyen et al., 2024)
	// RepetitionPenalty divides the positive and multiplies the negative
	// logits of the last PenaltyWindow tokens; 1 is none (Keskar et al., 2019).
	RepetitionPenalty float64 `json:"repetition_penalty"`
	// FrequencyPenalty is subtracted from a token's logit for each time that it
	// was chosen, PresencePenalty once if it was chosen at all; 0 is none. Both
	// are OpenAI's, from -2 to 2.
	FrequencyPenalty float64 `json:"frequency_penalty,omitempty"`
	PresencePenalty  float64 `json:"presence_penalty,omitempty"`
	// Bias is added to the logits of some tokens.
	Bias map[uint32]float64 `json:"bias,omitempty"`
	Seed uint64             `json:"seed"`
}

// PenaltyWindow is how many tokens back the repetition penalty looks.
const PenaltyWindow = 64

// DefaultSampling is what chat and generate begin with.
func DefaultSampling() Sampling {
	return Sampling{Temperature: 0.8, TopK: 40, TopP: 0.95, RepetitionPenalty: 1}
}

// Check refuses values that mean nothing.
func (s Sampling) Check() error {
	switch {
	case !(s.Temperature >= 0) || math.IsInf(s.Temperature, 0):
		return fmt.Errorf("a temperature of %v: want 0 or more", s.Temperature)
	case s.TopK < 0:
		return fmt.Errorf("top-k of %d: want 0 (all) or more", s.TopK)
	case !(s.TopP > 0 && s.TopP <= 1):
		return fmt.Errorf("top-p of %v: want more than 0, at most 1", s.TopP)
	case !(s.MinP >= 0 && s.MinP <= 1):
		return fmt.Errorf("min-p of %v: want 0 to 1", s.MinP)
	case !(s.RepetitionPenalty > 0) || math.IsInf(s.RepetitionPenalty, 0):
		return fmt.Errorf("a repetition penalty of %v: want more than 0 (1 is none)", s.RepetitionPenalty)
	case !(math.Abs(s.FrequencyPenalty) <= 2):
		return fmt.Errorf("a frequency penalty of %v: want -2 to 2 (0 is none)", s.FrequencyPenalty)
	case !(math.Abs(s.PresencePenalty) <= 2):
		return fmt.Errorf("a presence penalty of %v: want -2 to 2 (0 is none)", s.PresencePenalty)
	}
	for id, b := range s.Bias {
		if !(math.Abs(b) <= 100) {
			return fmt.Errorf("a bias of %v for token %d: want -100 to 100", b, id)
		}
	}
	return nil
}

// Sampler chooses tokens, the same ones from the same seed and logits.
type Sampler struct {
	Sampling
	rng        *rand.Rand
	candidates []candidate
	chosen     map[uint32]int // how often, so far
}

type candidate struct {
	id    uint32
	logit float64
	p     float64
}

// NewSampler starts at the sampling's seed.
func NewSampler(s Sampling) *Sampler {
	return &Sampler{Sampling: s, rng: rand.New(rand.NewPCG(s.Seed, 0x73616d706c65)), chosen: map[uint32]int{}}
}

// Next chooses the token after history from its logits [vocab], which it may
// change.
func (s *Sampler) Next(history []uint32, logits []float32) uint32 {
	if s.RepetitionPenalty != 1 {
		s.penalize(history[max(0, len(history)-PenaltyWindow):], logits)
	}
	for id, n := range s.chosen {
		logits[id] -= float32(s.FrequencyPenalty*float64(n) + s.PresencePenalty)
	}
	for id, b := range s.Bias {
		if int(id) < len(logits) {
			logits[id] += float32(b)
		}
	}
	id := s.choose(logits)
	if s.FrequencyPenalty != 0 || s.PresencePenalty != 0 {
		s.chosen[id]++
	}
	return id
}

// choose draws a token.
func (s *Sampler) choose(logits []float32) uint32 {
	if s.Temperature == 0 {
		return Greedy(0, logits)
	}
	c := s.likeliest(logits)
	largest, sum := c[0].logit, 0.0
	for i := range c {
		c[i].p = math.Exp((c[i].logit - largest) / s.Temperature)
		sum += c[i].p
	}
	kept, mass := len(c), 0.0
	for i := range c {
		if c[i].p < s.MinP {
			kept = i // at least one: the first has p 1
			break
		}
		mass += c[i].p
		if mass >= s.TopP*sum {
			kept = i + 1
			break
		}
	}
	c = c[:kept]
	sum = 0
	for i := range c {
		sum += c[i].p
	}
	at := s.rng.Float64() * sum
	for i := range c {
		if at -= c[i].p; at < 0 {
			return c[i].id
		}
	}
	return c[len(c)-1].id
}

// likeliest are the candidates in order of falling logits, ties by id.
func (s *Sampler) likeliest(logits []float32) []candidate {
	order := func(a, b candidate) int {
		if n := cmp.Compare(b.logit, a.logit); n != 0 {
			return n
		}
		return cmp.Compare(a.id, b.id)
	}
	c := s.candidates[:0]
	k := s.TopK
	if k == 0 || k > len(logits) {
		k = len(logits)
	}
	if k == len(logits) {
		for id, v := range logits {
			c = append(c, candidate{id: uint32(id), logit: float64(v)})
		}
		slices.SortFunc(c, order)
		s.candidates = c
		return c
	}
	// Keep the k best in order; most logits fall below the last at once.
	for id, v := range logits {
		if len(c) == k && float64(v) <= c[k-1].logit {
			continue
		}
		x := candidate{id: uint32(id), logit: float64(v)}
		at, _ := slices.BinarySearchFunc(c, x, order)
		if len(c) == k {
			c = c[:k-1]
		}
		c = slices.Insert(c, at, x)
	}
	s.candidates = c
	return c
}

func (s *Sampler) penalize(recent []uint32, logits []float32) {
	for i, id := range recent {
		if slices.Contains(recent[:i], id) {
			continue // once for each token, however often it came
		}
		if v := float64(logits[id]); v > 0 {
			logits[id] = float32(v / s.RepetitionPenalty)
		} else {
			logits[id] = float32(v * s.RepetitionPenalty)
		}
	}
}
