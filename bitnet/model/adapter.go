package model

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"bitnet/bitnet/modelfile"
	"bitnet/graph"
)

// adapter is the adapter of one projection: a part of a ternary parameter.
type adapter struct {
	projection string // name of its weight
	at         int    // of its first column in the result of the parameter
	a, b       *graph.Param
}

// declareAdapters freezes what is declared so far, and declares the adapters.
func (m *Model) declareAdapters(l modelfile.LoRA) {
	m.lora, m.adapters = l, map[*graph.Param][]*adapter{}
	base := m.Params.All()
	m.Params.Freeze()
	for _, p := range base {
		at := 0
		for _, part := range p.Parts {
			if p.IsTernary() && l.Adapts(part.Name) {
				a, b := modelfile.AdapterNames(part.Name)
				m.adapters[p] = append(m.adapters[p], &adapter{
					projection: part.Name, at: at,
					a: m.Params.Matrix(a, l.Rank, p.Cols), b: m.Params.Matrix(b, part.Rows, l.Rank),
				})
			}
			at += part.Rows
		}
	}
}

// normed is the input of a projection. Adapters see it before it is quantised; full is
// nil where there are none, and then it never exists. With a ramp there is no other form.
type normed struct {
	full  *graph.Tensor
	codes *graph.Quantized
}

// norm is the input of the projections w: x normalised, and quantised.
func (m *Model) norm(g pass, x *graph.Tensor, weight, w *graph.Param) normed {
	if g.ramp {
		return normed{full: g.Ramp(g.RMSNorm(x, weight, m.eps()))}
	}
	if len(m.adapters[w]) == 0 {
		return normed{codes: g.NormQuantize(x, weight, m.eps())}
	}
	y := g.RMSNorm(x, weight, m.eps())
	return normed{y, g.Quantize(y)}
}

// gatedNorm is norm of the gated activation of gu.
func (m *Model) gatedNorm(g pass, gu *graph.Tensor, act graph.Activation, weight, w *graph.Param) normed {
	if g.ramp {
		return normed{full: g.Ramp(g.GLUNorm(gu, act, weight, m.eps()))}
	}
	if len(m.adapters[w]) == 0 {
		return normed{codes: g.GLUNormQuantize(gu, act, weight, m.eps())}
	}
	y := g.GLUNorm(gu, act, weight, m.eps())
	return normed{y, g.Quantize(y)}
}

// project is the product with w, plus that of its adapters, plus residual.
func (m *Model) project(g pass, x normed, w *graph.Param, residual *graph.Tensor) *graph.Tensor {
	if g.ramp {
		return g.RampLinear(x.full, w, residual)
	}
	y := g.BitLinear(x.codes, w, residual)
	for _, a := range m.adapters[w] {
		g.LowRank(y, x.full, a.a, a.b, a.at, float32(m.lora.Scale()))
	}
	return y
}

// InitializeAdapters writes fresh adapters, as PEFT does: a uniform within 1/sqrt(in),
// b zero, so that they change nothing yet. The same seed gives the same values.
func (m *Model) InitializeAdapters(seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 0x6c6f7261))
	for _, p := range m.Params.All() { // in the order of the network
		for _, x := range m.adapters[p] {
			bound := 1 / math.Sqrt(float64(x.a.Cols))
			values := make([]float32, x.a.Rows*x.a.Cols)
			for i := range values {
				values[i] = float32(bound * (2*rng.Float64() - 1))
			}
			if err := x.a.Write(graph.Master, values); err != nil {
				return fmt.Errorf("writing fresh adapters: %w", err)
			}
			if err := x.b.Write(graph.Master, make([]float32, x.b.Rows*x.b.Cols)); err != nil {
				return fmt.Errorf("writing fresh adapters: %w", err)
			}
		}
	}
	return nil
}

// LoadAdapter writes adapters of the host to a model that was declared for them.
func (m *Model) LoadAdapter(a *modelfile.Adapter) error {
	if a.String() != m.lora.String() {
		return errors.New("the adapter is not the one that the model was declared for")
	}
	for _, list := range m.adapters {
		for _, x := range list {
			if err := x.a.Write(graph.Master, a.A[x.projection]); err != nil {
				return err
			}
			if err := x.b.Write(graph.Master, a.B[x.projection]); err != nil {
				return err
			}
		}
	}
	return nil
}

// Adapted reports whether the model has adapters; then they alone are trained.
func (m *Model) Adapted() bool { return m.adapters != nil }
