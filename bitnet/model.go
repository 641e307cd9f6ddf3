package bitnet

import (
	"fmt"
	"math"
	"math/rand/v2"

	"bitnet/gpu"
	"bitnet/graph"
)

// Model is a BitNet b1.58 transformer (arXiv 2402.17764, in the form of
// BitNet b1.58 2B4T): every projection is ternary, its input is normalised
// and quantised to int8; embedding and head share one float table.
type Model struct {
	Config ModelConfig
	Params *graph.Params

	embed  *graph.Param
	layers []layer
	norm   *graph.Param
}

type layer struct {
	inputNorm, attnSubNorm *graph.Param
	qkv, o                 *graph.Param
	postNorm, ffnSubNorm   *graph.Param
	gateUp, down           *graph.Param
}

// NewModel declares the parameters of a model for an adapter.
func NewModel(c ModelConfig, a gpu.Adapter) *Model {
	ps := graph.NewParams(graph.TargetOf(a), graph.LimitsOf(a))
	m := &Model{Config: c, Params: ps}
	h, head := c.HiddenSize, c.HiddenSize/c.Heads
	m.embed = ps.Matrix("model.embed_tokens.weight", c.VocabSize, h)
	for i := range c.Layers {
		name := func(s string) string { return fmt.Sprintf("model.layers.%d.%s.weight", i, s) }
		m.layers = append(m.layers, layer{
			inputNorm: ps.Vector(name("input_layernorm"), h),
			qkv: ps.Ternary(h,
				graph.Part{Name: name("self_attn.q_proj"), Rows: h},
				graph.Part{Name: name("self_attn.k_proj"), Rows: c.KVHeads * head},
				graph.Part{Name: name("self_attn.v_proj"), Rows: c.KVHeads * head}),
			attnSubNorm: ps.Vector(name("self_attn.attn_sub_norm"), h),
			o:           ps.Ternary(h, graph.Part{Name: name("self_attn.o_proj"), Rows: h}),
			postNorm:    ps.Vector(name("post_attention_layernorm"), h),
			gateUp: ps.Ternary(h,
				graph.Part{Name: name("mlp.gate_proj"), Rows: c.IntermediateSize},
				graph.Part{Name: name("mlp.up_proj"), Rows: c.IntermediateSize}),
			ffnSubNorm: ps.Vector(name("mlp.ffn_sub_norm"), c.IntermediateSize),
			down:       ps.Ternary(c.IntermediateSize, graph.Part{Name: name("mlp.down_proj"), Rows: h}),
		})
	}
	m.norm = ps.Vector("model.norm.weight", h)
	return m
}

func (m *Model) eps() float32 { return float32(m.Config.NormEps) }

func (m *Model) heads() graph.Heads {
	c := m.Config
	return graph.Heads{Query: c.Heads, KV: c.KVHeads, Dim: c.HiddenSize / c.Heads}
}

// forward is the whole network up to the head: [tokens, hidden].
func (m *Model) forward(g *graph.Graph) *graph.Tensor {
	x := g.Embedding(m.embed)
	for _, l := range m.layers {
		x = m.attention(g, l, x)
		x = m.feedForward(g, l, x)
	}
	return g.RMSNorm(x, m.norm, m.eps())
}

// attention: x + o(norm(attention(rope(qkv(norm(x)))))).
func (m *Model) attention(g *graph.Graph, l layer, x *graph.Tensor) *graph.Tensor {
	h := g.NormQuantize(x, l.inputNorm, m.eps())
	qkv := g.Rope(g.BitLinear(h, l.qkv, nil), m.heads(), m.Config.RopeTheta)
	a := g.NormQuantize(g.Attention(qkv, m.heads()), l.attnSubNorm, m.eps())
	return g.BitLinear(a, l.o, x)
}

// feedForward: x + down(norm(act(gate(norm(x))) * up(norm(x)))).
func (m *Model) feedForward(g *graph.Graph, l layer, x *graph.Tensor) *graph.Tensor {
	h := g.NormQuantize(x, l.postNorm, m.eps())
	act := graph.SiLU
	if m.Config.HiddenAct == "relu2" {
		act = graph.Relu2
	}
	y := g.GLUNormQuantize(g.BitLinear(h, l.gateUp, nil), act, l.ffnSubNorm, m.eps())
	return g.BitLinear(y, l.down, x)
}

// initialStd is the deviation of fresh weights. With it logits start small
// and the first loss is ln(vocab).
const initialStd = 0.02

// Initialize writes fresh weights: matrices N(0, 0.02^2), those that add to
// the residual stream smaller by sqrt(2 layers) (Radford et al., 2019), norms 1.
func (m *Model) Initialize(seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 0x6269746e6574))
	residual := map[*graph.Param]bool{}
	for _, l := range m.layers {
		residual[l.o], residual[l.down] = true, true
	}
	for _, p := range m.Params.All() {
		values := make([]float32, p.Rows*p.Cols)
		std := initialStd
		if residual[p] {
			std /= math.Sqrt(2 * float64(len(m.layers)))
		}
		for i := range values {
			if p.IsVector() {
				values[i] = 1
			} else {
				values[i] = float32(std * rng.NormFloat64())
			}
		}
		if err := p.Write(graph.Master, values); err != nil {
			return err
		}
	}
	return nil
}
