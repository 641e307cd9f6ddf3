// Package model is the network of BitNet b1.58, and its parameters on a device.
//
// A Model is made in this order, each step once:
//
//	m, err := model.New(config, adapter, opt.Storage(), "auto")      // declares and lays out
//	plan, err := m.PlanTraining(model.Step{Batch: b, Seq: s, Optimizer: opt}) // any number of plans
//	err = m.Allocate(device)                                         // memory
//	err = m.Initialize(seed)                                         // or LoadMasters, LoadWeights
//	program, err := plan.Compile(device)
//
// Whatever sets the masters also quantises them, so that the ternary weights on
// the device always belong to them.
package model

import (
	"fmt"
	"math"
	"math/rand/v2"

	"bitnet/bitnet/modelfile"
	"bitnet/gpu"
	"bitnet/graph"
)

// Model is a BitNet b1.58 transformer (arXiv 2402.17764, in the form of
// BitNet b1.58 2B4T): every projection is ternary, its input is normalised
// and quantised to int8; embedding and head share one float table.
type Model struct {
	Config modelfile.Config
	Params *graph.Params

	dev    *gpu.Device // once allocated
	embed  *graph.Param
	layers []layer
	final  *graph.Param // norm before the head

	lora     modelfile.LoRA              // of rank 0 without adapters
	adapters map[*graph.Param][]*adapter // of the parts of ternary parameters that have one
	teacher  *teaching                   // nil without one
	float    *float                      // of NewFloat: the network in place of layers; nil for a ternary model
}

type layer struct {
	inputNorm, attnSubNorm *graph.Param
	qkv, o                 *graph.Param
	postNorm, ffnSubNorm   *graph.Param
	gateUp, down           *graph.Param
}

// New declares the parameters of a model and lays them out for an adapter, with
// room for what keep needs. Plans of it compute in a precision, by its name;
// graph.AutoPrecision chooses one for the adapter.
func New(c modelfile.Config, a gpu.Adapter, keep graph.Storage, precision string) (*Model, error) {
	return NewAdapted(c, a, keep, precision, nil)
}

// NewAdapted is New for a model with adapters of low rank: it alone is trained, and the
// rest is frozen. nil is a model without.
func NewAdapted(c modelfile.Config, a gpu.Adapter, keep graph.Storage, precision string, lora *modelfile.LoRA) (*Model, error) {
	return NewTaught(c, a, keep, precision, lora, nil)
}

// NewTaught is NewAdapted for a model whose training steps have a teacher; nil is none.
func NewTaught(c modelfile.Config, a gpu.Adapter, keep graph.Storage, precision string, lora *modelfile.LoRA, teacher *Teacher) (*Model, error) {
	ps := graph.NewParams(graph.TargetOf(a), graph.LimitsOf(a))
	if err := ps.SetPrecision(precision); err != nil {
		return nil, err
	}
	m := &Model{Config: c, Params: ps}
	m.declare()
	if lora != nil {
		m.declareAdapters(*lora)
	}
	if teacher != nil {
		var err error
		if m.teacher, err = teacher.declare(a); err != nil {
			return nil, err
		}
		ps.RecordDivergence()
	}
	return m, ps.Layout(keep)
}

func (m *Model) declare() {
	c, ps := m.Config, m.Params
	h, kv, f := c.HiddenSize, c.KVHeads*c.HeadDim(), c.IntermediateSize
	m.embed = ps.Matrix(modelfile.EmbeddingName, c.VocabSize, h)
	for i := range c.Layers {
		name := func(s string) string { return modelfile.LayerName(i, s) }
		m.layers = append(m.layers, layer{
			inputNorm: ps.Vector(name("input_layernorm"), h),
			qkv: ps.Ternary(h,
				graph.Part{Name: name("self_attn.q_proj"), Rows: h},
				graph.Part{Name: name("self_attn.k_proj"), Rows: kv},
				graph.Part{Name: name("self_attn.v_proj"), Rows: kv}),
			attnSubNorm: ps.Vector(name("self_attn.attn_sub_norm"), h),
			o:           ps.Ternary(h, graph.Part{Name: name("self_attn.o_proj"), Rows: h}),
			postNorm:    ps.Vector(name("post_attention_layernorm"), h),
			gateUp: ps.Ternary(h,
				graph.Part{Name: name("mlp.gate_proj"), Rows: f},
				graph.Part{Name: name("mlp.up_proj"), Rows: f}),
			ffnSubNorm: ps.Vector(name("mlp.ffn_sub_norm"), f),
			down:       ps.Ternary(f, graph.Part{Name: name("mlp.down_proj"), Rows: h}),
		})
	}
	m.final = ps.Vector(modelfile.FinalNormName, h)
}

func (m *Model) eps() float32 { return float32(m.Config.NormEps) }

// Heads are the shapes of its attention.
func (m *Model) Heads() graph.Heads { return headsOf(m.Config) }

func headsOf(c modelfile.Config) graph.Heads {
	return graph.Heads{Query: c.Heads, KV: c.KVHeads, Dim: c.HeadDim()}
}

func activation(c modelfile.Config) graph.Activation {
	if c.HiddenAct == "relu2" {
		return graph.Relu2
	}
	return graph.SiLU
}

// forward is the whole network up to the head: [tokens, hidden].
func (m *Model) forward(g *graph.Graph) *graph.Tensor { return m.network(pass{Graph: g}) }

// pass is the graph that a network is declared in.
type pass struct {
	*graph.Graph
	ramp bool // weights and activations are only part of the way to their quantised forms
}

func (m *Model) network(g pass) *graph.Tensor {
	if m.float != nil {
		return m.float.forward(g.Graph)
	}
	x := g.Embedding(m.embed)
	for _, l := range m.layers {
		x = m.attention(g, l, x)
		x = m.feedForward(g, l, x)
	}
	return g.RMSNorm(x, m.final, m.eps())
}

// attention: x + o(norm(attention(rope(qkv(norm(x)))))).
func (m *Model) attention(g pass, l layer, x *graph.Tensor) *graph.Tensor {
	qkv := g.Rope(m.project(g, m.norm(g, x, l.inputNorm, l.qkv), l.qkv, nil), m.Heads(), m.Config.RopeTheta)
	a := m.norm(g, g.Attention(qkv, m.Heads()), l.attnSubNorm, l.o)
	return m.project(g, a, l.o, x)
}

// feedForward: x + down(norm(act(gate(norm(x))) * up(norm(x)))).
func (m *Model) feedForward(g pass, l layer, x *graph.Tensor) *graph.Tensor {
	gu := m.project(g, m.norm(g, x, l.postNorm, l.gateUp), l.gateUp, nil)
	return m.project(g, m.gatedNorm(g, gu, activation(m.Config), l.ffnSubNorm, l.down), l.down, x)
}

// Step is what a training step is planned for.
type Step struct {
	Batch, Seq int  // of a micro-batch: rows, and tokens of each
	Packed     bool // a row is several documents that do not see each other, and not one sequence
	Optimizer  graph.Optimizer
	Ramp       bool  // quantise only in part: graph.StepValues.Ramp
	Memory     int64 // most bytes that it may hold, as for graph.Graph.LimitMemory
}

// PlanTraining plans a training step.
func (m *Model) PlanTraining(s Step) (*graph.Plan, error) {
	g := m.graph(s.Batch, s.Seq, s.Packed)
	if m.teacher != nil {
		t := m.teacher.logits(g) // first: its activations are gone before those that are kept come
		g.DistilledLoss(m.network(pass{g, s.Ramp}), m.embed, t)
	} else {
		g.Loss(m.network(pass{g, s.Ramp}), m.embed)
	}
	g.LimitMemory(s.Memory)
	return g.PlanTraining(s.Optimizer)
}

// PlanLoss plans the forward pass with the loss of every position.
func (m *Model) PlanLoss(batch, seq int, packed bool) (*graph.Plan, error) {
	g := m.graph(batch, seq, packed)
	g.Loss(m.forward(g), m.embed)
	return g.PlanForward()
}

// graph begins a graph over a micro-batch.
func (m *Model) graph(batch, seq int, packed bool) *graph.Graph {
	if packed {
		return graph.NewPacked(m.Params, batch, seq)
	}
	return graph.New(m.Params, batch, seq)
}

// NewCache lays out room for the keys and values of sequences of at most context
// tokens each.
func (m *Model) NewCache(sequences, context int) (*graph.Cache, error) {
	return graph.NewCache(m.Params, m.Config.Layers, sequences, context, m.Heads())
}

// PlanCached plans the forward pass over new tokens of the sequences of a cache,
// with the logits of rows of them; alike is that of graph.Graph.Logits.
func (m *Model) PlanCached(c *graph.Cache, tokens, rows int, alike bool) (*graph.Plan, error) {
	g := graph.NewCached(m.Params, c, tokens)
	g.Logits(m.forward(g), m.embed, rows, alike)
	return g.PlanForward()
}

// Allocate makes the buffers of the parameters on a device, and of those of the teacher.
func (m *Model) Allocate(dev *gpu.Device) error {
	err := m.Params.Allocate(dev)
	if err == nil && m.teacher != nil {
		err = m.teacher.params().Allocate(dev)
	}
	if err != nil {
		m.Release()
		return err
	}
	m.dev = dev
	return nil
}

// Device is where the model was allocated.
func (m *Model) Device() *gpu.Device { return m.dev }

// Release frees the buffers of the parameters.
func (m *Model) Release() {
	m.Params.Release()
	if m.teacher != nil {
		m.teacher.params().Release()
	}
}

// Initialize writes fresh weights: matrices N(0, 0.02^2), those that add to
// the residual stream smaller by sqrt(2 layers) (Radford et al., 2019), norms 1.
// The same seed gives the same weights.
func (m *Model) Initialize(seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 0x6269746e6574))
	residual := map[*graph.Param]bool{}
	for _, l := range m.layers {
		residual[l.o], residual[l.down] = true, true
	}
	for _, p := range m.Params.All() {
		values := make([]float32, p.Rows*p.Cols)
		std := modelfile.InitialStd
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
			return fmt.Errorf("writing fresh weights: %w", err)
		}
	}
	return m.Params.Quantize(m.dev)
}
