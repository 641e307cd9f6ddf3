package attention

import (
	"fmt"

	"bitnet/shaders"
)

// Cached has the shapes of attention over a cache of keys and values of
// sequences of up to Context tokens: Tokens new ones, each at a place of its own.
type Cached struct {
	Target                                   shaders.Target
	Tokens, Context, Heads, KVHeads, HeadDim int
}

// Append stores new keys and values. Bindings: places [2, Tokens], qkv, keys, values.
func (k Cached) Append() shaders.Source {
	n := k.Tokens * k.KVHeads * k.HeadDim
	e, groups := k.Target.Elementwise(n)
	return family.Source("append.wgsl", fmt.Sprintf("cache append %dx%d", k.Tokens, k.KVHeads*k.HeadDim), groups, 0, struct {
		Cached
		shaders.Elementwise
	}{k, e})
}

// Source is the attention. Bindings: places [2, Tokens], qkv, keys, values, o. Its
// Flops are those of a full context.
func (k Cached) Source() shaders.Source {
	rows := k.Tokens * k.Heads
	p := struct {
		Cached
		Scale   float32
		Shared  bool // a workgroup shares a token and head
		Threads int
	}{k, scale(k.HeadDim), k.Target == shaders.GPU, 16}
	groups := shaders.Fold(shaders.CeilDiv(rows, p.Threads))
	if p.Shared {
		p.Threads = 64
		for p.Threads < k.HeadDim/4 {
			p.Threads *= 2
		}
		groups = shaders.Fold(rows)
	}
	return family.Source("cached.wgsl", fmt.Sprintf("attention cached %dx%dx%d", k.Tokens, k.Heads, k.HeadDim), groups,
		4*float64(rows)*float64(k.Context)*float64(k.HeadDim), p)
}
