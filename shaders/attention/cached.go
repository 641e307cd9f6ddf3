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
	label := fmt.Sprintf("attention cached %dx%dx%d", k.Tokens, k.Heads, k.HeadDim)
	rows := k.Tokens * k.Heads
	flops := 4 * float64(rows) * float64(k.Context) * float64(k.HeadDim)
	if t := k.table(); k.Target == shaders.CPUTable && t.Rows <= shaders.MaxUniform {
		return family.Source("cached_table.wgsl", label, shaders.Fold(t.Rows), flops, t)
	}
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
	return family.Source("cached.wgsl", label, groups, flops, p)
}

// cachedTable has the parameters of the attention by the uniform table.
type cachedTable struct {
	Cached
	Scale    float32
	Threads  int // lanes
	PerGroup int // heads of a workgroup, which share keys
	Rows     int // workgroups
	Slots    int // words of four features of a lane
	Words    int // of a head
}

func (k Cached) table() cachedTable {
	t := cachedTable{Cached: k, Scale: scale(k.HeadDim), Threads: 16, Words: k.HeadDim / 4}
	t.Slots = shaders.CeilDiv(t.Words, t.Threads)
	group := k.Heads / k.KVHeads
	for n := 1; n*t.Slots <= 4; n++ {
		if group%n == 0 {
			t.PerGroup = n
		}
	}
	t.PerGroup = max(t.PerGroup, 1)
	t.Rows = k.Tokens * k.Heads / t.PerGroup
	return t
}
