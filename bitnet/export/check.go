package export

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/modelfile/gguf"
)

// compare finds the first difference between the model and an export that was
// read again.
func (e *exporter) compare(got *modelfile.Weights) error {
	w := e.weights
	if difference := got.Config.Difference(w.Config); difference != "" {
		return fmt.Errorf("the configuration differs: %s", difference)
	}
	if len(got.Float) != len(w.Float) || len(got.Ternary) != len(w.Ternary) {
		return fmt.Errorf("it has %d float and %d ternary tensors, not %d and %d", len(got.Float), len(got.Ternary), len(w.Float), len(w.Ternary))
	}
	for name, want := range w.Float {
		have := got.Float[name]
		if len(have) != len(want) {
			return fmt.Errorf("tensor %s has %d elements, not %d", name, len(have), len(want))
		}
		for i, v := range want {
			if name == modelfile.EmbeddingName && e.halfEmbedding() {
				v = gguf.Float(gguf.Half(v))
			}
			if v != have[i] {
				return fmt.Errorf("tensor %s holds %g at element %d, not %g", name, have[i], i, v)
			}
		}
	}
	for name, want := range w.Ternary {
		have := got.Ternary[name]
		switch {
		case have == nil || have.Rows != want.Rows || have.Cols != want.Cols:
			return fmt.Errorf("tensor %s is missing or has a different shape", name)
		case !bytes.Equal(have.Codes, want.Codes):
			return fmt.Errorf("tensor %s has different ternary weights", name)
		case have.Scale != e.keptScale(want.Scale) && !zero(want):
			return fmt.Errorf("tensor %s has the scale %g, not %g", name, have.Scale, e.keptScale(want.Scale))
		}
	}
	e.done.Tensors = len(w.Float) + len(w.Ternary)
	return nil
}

// zero reports whether all weights are 0, so that the scale does not matter.
func zero(m *modelfile.TernaryMatrix) bool {
	return !slices.ContainsFunc(m.Codes, func(b byte) bool { return b != 0b01010101 })
}

// LogitsGap is how far an export is from the model, over a few random tokens.
type LogitsGap struct {
	Tokens  int
	Largest float64    // difference of a logit; both computed as the model does
	Range   [2]float64 // of the model's logits
	// Elsewhere is how llama.cpp rounds activations: it has no int8 per token.
	Elsewhere        modelfile.Rounding // "" where they are the model's own
	ElsewhereLargest float64
	SameToken        int // the tokens after which the likeliest next token is the model's
}

const gapTokens = 32

// logitsGap compares the logits of the model, want, with those of what was read again, got,
// which its own program computes with a rounding.
func (e *exporter) logitsGap(want func(ids []uint32) ([][]float64, error), got func([]uint32, modelfile.Rounding) ([][]float64, error), own modelfile.Rounding) (*LogitsGap, error) {
	n := min(gapTokens, e.config.MaxPositions)
	ids := make([]uint32, n)
	rng := rand.New(rand.NewPCG(42, 0x6578706f7274))
	vocab := e.config.VocabSize
	if e.tok != nil {
		vocab = e.tok.Size()
	}
	for i := range ids {
		ids[i] = uint32(rng.IntN(vocab))
	}
	g := &LogitsGap{Tokens: n, SameToken: n}
	model, err := want(ids)
	if err != nil {
		return nil, err
	}
	g.Range = [2]float64{model[0][0], model[0][0]}
	for _, row := range model {
		g.Range = [2]float64{min(g.Range[0], slices.Min(row)), max(g.Range[1], slices.Max(row))}
	}
	have, err := got(ids, own)
	if err != nil {
		return nil, err
	}
	g.Largest, _ = gap(model, have)
	if t, ok := ggufTypes[e.done.Type]; ok {
		g.Elsewhere = t.rounding
		if have, err = got(ids, t.rounding); err != nil {
			return nil, err
		}
		g.ElsewhereLargest, g.SameToken = gap(model, have)
	}
	return g, nil
}

// gap is the largest difference, and at how many rows the largest element is the same.
func gap(a, b [][]float64) (largest float64, same int) {
	for t := range a {
		for i, v := range a[t] {
			largest = max(largest, math.Abs(v-b[t][i]))
		}
		if argmax(a[t]) == argmax(b[t]) {
			same++
		}
	}
	return largest, same
}

func argmax(row []float64) int {
	best := 0
	for i, v := range row {
		if v > row[best] {
			best = i
		}
	}
	return best
}
