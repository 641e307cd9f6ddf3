package modelfile

import (
	"fmt"
	"math"
	"runtime"
	"sync"

	"bitnet/bitnet/modelfile/gguf"
)

// Rounding is what happens to the input of a projection before the product.
// PerToken is the model's own; the others are what llama.cpp does, which has
// no kernel that quantises a whole token at once.
type Rounding string

const (
	PerToken  Rounding = "int8 per token"        // s = 127 / max(absmax, 1e-5), round half to even
	Unrounded Rounding = "not quantised"         // with F32 weights
	Halves    Rounding = "F16"                   // with F16 weights
	Blocks32  Rounding = "int8 per block of 32"  // with Q4_0 weights
	Blocks256 Rounding = "int8 per block of 256" // with TQ1_0 and TQ2_0 weights
)

// Forward computes the logits [tokens][vocab] of a text, plainly and slowly,
// in float64 but for the roundings: the reference for kernels and exporters.
// The weights' table of embeddings is the head too; with Halves, Blocks32 and
// Blocks256 its input is rounded to F16, as llama.cpp does with an F16 table.
func (w *Weights) Forward(tokens []uint32, r Rounding) ([][]float64, error) {
	return w.ForwardAdapted(nil, tokens, r)
}

// ForwardAdapted is Forward with an adapter, whose input and products are not rounded;
// nil is none.
func (w *Weights) ForwardAdapted(a *Adapter, tokens []uint32, r Rounding) ([][]float64, error) {
	values := func(name string) []float32 { return w.Float[name] }
	return forward(w.Config, tokens, r, values, func(name string, x [][]float64) [][]float64 {
		y := w.Ternary[name].multiply(x, r)
		a.addTo(y, x, name)
		return y
	})
}

// forward is the network. values gives the embedding and the norms by their names, and
// product multiplies x [tokens][in] with a projection.
func forward(c Config, tokens []uint32, r Rounding, values func(name string) []float32, product func(name string, x [][]float64) [][]float64) ([][]float64, error) {
	if len(tokens) < 1 || len(tokens) > c.MaxPositions {
		return nil, fmt.Errorf("%d tokens are not 1 to %d, the model's context", len(tokens), c.MaxPositions)
	}
	h, head := c.HiddenSize, c.HiddenSize/c.Heads
	table := values(EmbeddingName)
	x := make([][]float64, len(tokens))
	for t, id := range tokens {
		if int64(id) >= int64(c.VocabSize) {
			return nil, fmt.Errorf("there is no token %d: the model has 0 to %d", id, c.VocabSize-1)
		}
		x[t] = widen(table[int(id)*h:][:h])
	}
	for i := range c.Layers {
		norm := func(name string, x [][]float64) [][]float64 {
			return rmsNorm(x, values(LayerName(i, name)), c.NormEps)
		}
		project := func(name string, x [][]float64) [][]float64 { return product(LayerName(i, name), x) }
		n := norm("input_layernorm", x)
		q, k, v := project("self_attn.q_proj", n), project("self_attn.k_proj", n), project("self_attn.v_proj", n)
		rope(q, head, c.RopeTheta)
		rope(k, head, c.RopeTheta)
		add(x, project("self_attn.o_proj", norm("self_attn.attn_sub_norm", attend(q, k, v, head))))

		n = norm("post_attention_layernorm", x)
		gate, up := project("mlp.gate_proj", n), project("mlp.up_proj", n)
		for t := range gate {
			for j, g := range gate[t] {
				if c.HiddenAct == "relu2" {
					g = max(g, 0) * max(g, 0)
				} else {
					g /= 1 + math.Exp(-g)
				}
				gate[t][j] = g * up[t][j]
			}
		}
		add(x, project("mlp.down_proj", norm("mlp.ffn_sub_norm", gate)))
	}
	x = rmsNorm(x, values(FinalNormName), c.NormEps)
	if r != PerToken && r != Unrounded {
		for _, row := range x {
			roundHalves(row)
		}
	}
	logits := make([][]float64, len(tokens))
	for t := range logits {
		logits[t] = make([]float64, c.VocabSize)
	}
	each(c.VocabSize, func(id int) {
		e := table[id*h:][:h]
		for t := range x {
			for j, v := range e {
				logits[t][id] += x[t][j] * float64(v)
			}
		}
	})
	return logits, nil
}

// multiply is y [tokens][rows] = x [tokens][cols], rounded, times the weights transposed.
func (m *TernaryMatrix) multiply(x [][]float64, r Rounding) [][]float64 {
	rounded := make([][]float64, len(x))
	y := make([][]float64, len(x))
	for t := range x {
		rounded[t] = append([]float64(nil), x[t]...)
		r.apply(rounded[t])
		y[t] = make([]float64, m.Rows)
	}
	each(m.Rows, func(row int) {
		weights := make([]int8, m.Cols)
		m.Row(row, weights)
		for t := range rounded {
			sum := 0.0
			for k, w := range weights {
				sum += float64(w) * rounded[t][k]
			}
			y[t][row] = sum * float64(m.Scale)
		}
	})
	return y
}

// addTo adds the product of an adapter with x [tokens][in] to y [tokens][out].
func (a *Adapter) addTo(y, x [][]float64, projection string) {
	if a == nil || a.A[projection] == nil {
		return
	}
	down, up := a.A[projection], a.B[projection]
	each(len(x), func(t int) {
		inner := make([]float64, a.Rank)
		for j := range inner {
			for k, v := range x[t] {
				inner[j] += float64(down[j*len(x[t])+k]) * v
			}
		}
		for n := range y[t] {
			sum := 0.0
			for j, v := range inner {
				sum += float64(up[n*a.Rank+j]) * v
			}
			y[t][n] += a.Scale() * sum
		}
	})
}

// apply replaces x by what is left of it.
func (r Rounding) apply(x []float64) {
	switch r {
	case PerToken:
		s := 127 / max(largest(x), 1e-5)
		for i, v := range x {
			x[i] = math.RoundToEven(v*s) / s
		}
	case Halves:
		roundHalves(x)
	case Blocks32: // llama.cpp's Q8_0: the scale is kept as a half, codes are made with it in full
		for ; len(x) > 0; x = x[min(32, len(x)):] {
			block := x[:min(32, len(x))]
			d := largest(block) / 127
			if d == 0 {
				continue
			}
			kept := float64(gguf.Float(gguf.Half(float32(d))))
			for i, v := range block {
				block[i] = math.Round(v/d) * kept
			}
		}
	case Blocks256: // llama.cpp's Q8_K
		for ; len(x) > 0; x = x[min(256, len(x)):] {
			block := x[:min(256, len(x))]
			d := largest(block) / 127
			if d == 0 {
				continue
			}
			for i, v := range block {
				block[i] = math.RoundToEven(v/d) * d
			}
		}
	}
}

func largest(x []float64) float64 {
	m := 0.0
	for _, v := range x {
		m = max(m, math.Abs(v))
	}
	return m
}

func roundHalves(x []float64) {
	for i, v := range x {
		x[i] = float64(gguf.Float(gguf.Half(float32(v))))
	}
}

func widen(x []float32) []float64 {
	out := make([]float64, len(x))
	for i, v := range x {
		out[i] = float64(v)
	}
	return out
}

func add(x, y [][]float64) {
	for t := range x {
		for i, v := range y[t] {
			x[t][i] += v
		}
	}
}

// rmsNorm is x / sqrt(mean x^2 + eps) * w (Zhang and Sennrich, 2019).
func rmsNorm(x [][]float64, w []float32, eps float64) [][]float64 {
	out := make([][]float64, len(x))
	for t, row := range x {
		sum := 0.0
		for _, v := range row {
			sum += v * v
		}
		scale := 1 / math.Sqrt(sum/float64(len(row))+eps)
		out[t] = make([]float64, len(row))
		for i, v := range row {
			out[t][i] = v * scale * float64(w[i])
		}
	}
	return out
}

// rope turns elements i and i + dim/2 of every head by pos * theta^(-2i/dim)
// (Su et al., 2021), in place.
func rope(x [][]float64, dim int, theta float64) {
	for pos, row := range x {
		for at := 0; at < len(row); at += dim {
			for i := range dim / 2 {
				sin, cos := math.Sincos(float64(pos) * math.Pow(theta, -2*float64(i)/float64(dim)))
				a, b := row[at+i], row[at+i+dim/2]
				row[at+i], row[at+i+dim/2] = a*cos-b*sin, b*cos+a*sin
			}
		}
	}
}

// attend is causal attention with grouped heads: q [tokens][heads*dim], k and
// v with as many heads or fewer.
func attend(q, k, v [][]float64, dim int) [][]float64 {
	out := make([][]float64, len(q))
	group := len(q[0]) / len(k[0])
	each(len(q), func(t int) {
		out[t] = make([]float64, len(q[t]))
		scores := make([]float64, t+1)
		for at := 0; at < len(q[t]); at += dim {
			from := at / dim / group * dim
			most, sum := math.Inf(-1), 0.0
			for s := range scores {
				dot := 0.0
				for i := range dim {
					dot += q[t][at+i] * k[s][from+i]
				}
				scores[s] = dot / math.Sqrt(float64(dim))
				most = max(most, scores[s])
			}
			for s := range scores {
				scores[s] = math.Exp(scores[s] - most)
				sum += scores[s]
			}
			for s, p := range scores {
				for i := range dim {
					out[t][at+i] += p / sum * v[s][from+i]
				}
			}
		}
	})
	return out
}

// each calls do for 0 to n-1, on all cores.
func each(n int, do func(i int)) {
	workers := min(runtime.GOMAXPROCS(0), n)
	var group sync.WaitGroup
	for w := range workers {
		group.Add(1)
		go func() {
			defer group.Done()
			for i := w; i < n; i += workers {
				do(i)
			}
		}()
	}
	group.Wait()
}
