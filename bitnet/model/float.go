package model

import (
	"bitnet/bitnet/modelfile"
	"bitnet/gpu"
	"bitnet/graph"
)

// float is a float model, which only computes logits. It differs from Model in that nothing
// is quantised, and in the Llama form in two norms of a layer that it lacks.
type float struct {
	config modelfile.Config
	params *graph.Params
	embed  *graph.Param
	layers []floatLayer
	final  *graph.Param // norm before the head
}

type floatLayer struct {
	inputNorm, qkv, o       *graph.Param
	postNorm, gateUp, down  *graph.Param
	attnSubNorm, ffnSubNorm *graph.Param // nil in the Llama form
}

// newFloat declares the parameters of a float model and lays them out for an adapter;
// subNorms are those that the Llama form lacks.
func newFloat(c modelfile.Config, a gpu.Adapter, subNorms bool) (*float, error) {
	ps := graph.NewParams(graph.TargetOf(a), graph.LimitsOf(a))
	h, kv, f := c.HiddenSize, c.KVHeads*c.HeadDim(), c.IntermediateSize
	m := &float{config: c, params: ps, embed: ps.Matrix(modelfile.EmbeddingName, c.VocabSize, h)}
	for i := range c.Layers {
		part := func(s string, rows int) graph.Part { return graph.Part{Name: modelfile.LayerName(i, s), Rows: rows} }
		norm := func(s string) *graph.Param { return ps.Vector(modelfile.LayerName(i, s), h) }
		l := floatLayer{
			inputNorm: norm("input_layernorm"),
			qkv:       ps.Linear(h, part("self_attn.q_proj", h), part("self_attn.k_proj", kv), part("self_attn.v_proj", kv)),
			o:         ps.Linear(h, part("self_attn.o_proj", h)),
			postNorm:  norm("post_attention_layernorm"),
			gateUp:    ps.Linear(h, part("mlp.gate_proj", f), part("mlp.up_proj", f)),
			down:      ps.Linear(f, part("mlp.down_proj", h)),
		}
		if subNorms {
			l.attnSubNorm, l.ffnSubNorm = norm("self_attn.attn_sub_norm"), ps.Vector(modelfile.LayerName(i, "mlp.ffn_sub_norm"), f)
		}
		m.layers = append(m.layers, l)
	}
	m.final = ps.Vector(modelfile.FinalNormName, h)
	return m, ps.Layout(graph.ForEvaluation)
}

// forward is the whole network up to the head: [tokens, hidden].
func (m *float) forward(g *graph.Graph) *graph.Tensor {
	eps, heads := float32(m.config.NormEps), headsOf(m.config)
	x := g.Embedding(m.embed)
	for _, l := range m.layers {
		qkv := g.Rope(g.Linear(g.RMSNorm(x, l.inputNorm, eps), l.qkv, nil), heads, m.config.RopeTheta)
		a := g.Attention(qkv, heads)
		if l.attnSubNorm != nil {
			a = g.RMSNorm(a, l.attnSubNorm, eps)
		}
		x = g.Linear(a, l.o, x)
		gu := g.Linear(g.RMSNorm(x, l.postNorm, eps), l.gateUp, nil)
		if l.ffnSubNorm != nil {
			gu = g.GLUNorm(gu, activation(m.config), l.ffnSubNorm, eps)
		} else {
			gu = g.GLU(gu, activation(m.config))
		}
		x = g.Linear(gu, l.down, x)
	}
	return g.RMSNorm(x, m.final, eps)
}

// load reads the weights of a model directory.
func (m *float) load(dir string) error {
	files, err := modelfile.OpenMasters(dir)
	if err != nil {
		return err
	}
	defer files.Close()
	return loadForm(files, Form{Slot: graph.Master}, m.params.All())
}

// NewFloat declares a model of this architecture in which nothing is quantised, and lays
// its parameters out for an adapter. It can be measured and continue texts, not be trained.
func NewFloat(c modelfile.Config, a gpu.Adapter) (*Model, error) {
	f, err := newFloat(c, a, true)
	if err != nil {
		return nil, err
	}
	return &Model{Config: c, Params: f.params, embed: f.embed, float: f}, nil
}

// LoadFloat writes the weights of a float model to a model of NewFloat.
func (m *Model) LoadFloat(w *modelfile.FloatModel) error {
	for _, p := range m.Params.All() {
		values := make([]float32, 0, p.Rows*p.Cols)
		for _, part := range p.Parts {
			v, err := w.Values(part.Name)
			if err != nil {
				return err
			}
			values = append(values, v...)
		}
		if err := p.Write(graph.Master, values); err != nil {
			return err
		}
	}
	return nil
}
