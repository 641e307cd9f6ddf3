package model

import (
	"bitnet/bitnet/modelfile"
	"bitnet/gpu"
	"bitnet/graph"
)

// float is a float model of the Llama form, which only computes logits. It differs from
// Model in that nothing is quantised, and in two norms of a layer that it lacks.
type float struct {
	config modelfile.Config
	params *graph.Params
	embed  *graph.Param
	layers []floatLayer
	final  *graph.Param // norm before the head
}

type floatLayer struct {
	inputNorm, qkv, o      *graph.Param
	postNorm, gateUp, down *graph.Param
}

// newFloat declares the parameters of a float model and lays them out for an adapter.
func newFloat(c modelfile.Config, a gpu.Adapter) (*float, error) {
	ps := graph.NewParams(graph.TargetOf(a), graph.LimitsOf(a))
	h, kv, f := c.HiddenSize, c.KVHeads*c.HeadDim(), c.IntermediateSize
	m := &float{config: c, params: ps, embed: ps.Matrix(modelfile.EmbeddingName, c.VocabSize, h)}
	for i := range c.Layers {
		part := func(s string, rows int) graph.Part { return graph.Part{Name: modelfile.LayerName(i, s), Rows: rows} }
		norm := func(s string) *graph.Param { return ps.Vector(modelfile.LayerName(i, s), h) }
		m.layers = append(m.layers, floatLayer{
			inputNorm: norm("input_layernorm"),
			qkv:       ps.Linear(h, part("self_attn.q_proj", h), part("self_attn.k_proj", kv), part("self_attn.v_proj", kv)),
			o:         ps.Linear(h, part("self_attn.o_proj", h)),
			postNorm:  norm("post_attention_layernorm"),
			gateUp:    ps.Linear(h, part("mlp.gate_proj", f), part("mlp.up_proj", f)),
			down:      ps.Linear(f, part("mlp.down_proj", h)),
		})
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
		x = g.Linear(g.Attention(qkv, heads), l.o, x)
		gu := g.Linear(g.RMSNorm(x, l.postNorm, eps), l.gateUp, nil)
		x = g.Linear(g.GLU(gu, activation(m.config)), l.down, x)
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
