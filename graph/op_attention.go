package graph

import (
	"fmt"
	"math"

	"bitnet/shaders/attention"
	"bitnet/shaders/rope"
)

// Heads is the shape of grouped-query attention: Query heads and KV heads of
// Dim features each; Query is a multiple of KV, Dim of 4.
type Heads struct{ Query, KV, Dim int }

// Features is the length of a row of queries, keys and values.
func (h Heads) Features() int { return (h.Query + 2*h.KV) * h.Dim }

// Rope rotates queries and keys of qkv [tokens, Features] by their position
// in the sequence, pairs (i, i + Dim/2) by angle position theta^(-2i/Dim)
// (Su et al., 2021; the rotate-half form). It works in place: use only the
// result after it, and qkv no more.
func (g *Graph) Rope(qkv *Tensor, h Heads, theta float64) *Tensor {
	positions, context := g.seq, 0
	if g.cache != nil {
		positions, context = g.cache.context, g.cache.context
	}
	table := g.constant(fmt.Sprintf("rope table of theta %g", theta), positions, h.Dim, func() []float32 {
		return ropeTable(positions, h.Dim, theta)
	})
	k := rope.Rotation{
		Target: g.params.Target, Tokens: qkv.Rows, Seq: g.seq, Context: context,
		Heads: h.Query + h.KV, HeadDim: h.Dim, Stride: h.Features(), Documents: g.begins != nil,
	}
	g.add("rope", func(e *emitter) {
		if g.cache != nil {
			e.run(k.Source(), table, qkv, g.places)
			return
		}
		e.run(k.Source(), g.withBegins(table, qkv)...)
	}, func(e *emitter) {
		back := k
		back.Backward = true
		e.run(back.Source(), g.withBegins(table, e.grad(qkv))...)
	})
	return qkv
}

// withBegins adds the begins of documents to tensors, if the graph has them.
func (g *Graph) withBegins(tensors ...*Tensor) []*Tensor {
	if g.begins != nil {
		tensors = append(tensors, g.begins)
	}
	return tensors
}

// ropeTable holds cos and then sin of each position's pairs, [seq, 2, dim/2].
func ropeTable(seq, dim int, theta float64) []float32 {
	table := make([]float32, seq*dim)
	for pos := range seq {
		row := table[pos*dim:][:dim]
		for i := range dim / 2 {
			sin, cos := math.Sincos(float64(pos) * math.Pow(theta, -2*float64(i)/float64(dim)))
			row[i], row[dim/2+i] = float32(cos), float32(sin)
		}
	}
	return table
}

// Attention is causal grouped-query attention over qkv [tokens, Features]:
// o[t, n] = sum_j<=t softmax_j(q . k / sqrt(Dim)) v, [tokens, Query*Dim], with
// a streaming softmax (Dao et al., 2022): nothing of size seq x seq is stored. In
// a packed graph j goes over the tokens of t's own document.
func (g *Graph) Attention(qkv *Tensor, h Heads) *Tensor {
	if qkv.Cols != h.Features() || h.KV < 1 || h.Query%h.KV != 0 || h.Dim%4 != 0 {
		g.fail("attention: %d features do not make %d query and %d key heads of %d", qkv.Cols, h.Query, h.KV, h.Dim)
	}
	if g.cache != nil {
		return g.cachedAttention(qkv, h)
	}
	tokens := g.Tokens()
	o := tensor("attention", F32, tokens, h.Query*h.Dim)
	lse := tensor("attention lse", F32, tokens, h.Query)
	k := attention.Causal{Target: g.params.Target, Batch: g.batch, Seq: g.seq, Heads: h.Query, KVHeads: h.KV, HeadDim: h.Dim,
		Documents: g.begins != nil, Memory: g.params.Limits.Units.WorkgroupMemory}
	g.add("attention", func(e *emitter) {
		e.run(k.Source(), append(g.withBegins(qkv), o, lse)...)
	}, func(e *emitter) {
		do := e.grad(o)
		delta := tensor("attention delta", F32, tokens, h.Query)
		e.run(k.Delta(), do, o, delta)
		dqkv, accumulate := e.gradOut(qkv)
		if accumulate {
			e.fail("the input of attention is used twice")
		}
		in := append(g.withBegins(qkv, lse, do, delta), dqkv)
		e.run(k.DQ(), in...)
		e.run(k.DKV(), in...)
	})
	return o
}
