package graph

import (
	"errors"
	"fmt"
	"math"

	"bitnet/gpu"
	"bitnet/shaders/attention"
)

// Cache holds the keys and values of all attention operations for sequences
// that grow, so that a token is computed once: [sequences, context, KV*Dim] each.
// Graphs over different numbers of new tokens share one Cache.
type Cache struct {
	sequences, context int
	keys, values       []*Tensor // of each layer
	memory             *arena
}

// NewCache lays out a cache for sequences of at most context tokens each through
// layers attention operations.
func NewCache(ps *Params, layers, sequences, context int, h Heads) (*Cache, error) {
	c := &Cache{sequences: sequences, context: context, memory: &arena{name: "keys and values", limit: ps.Limits.Buffer}}
	for range layers {
		for _, list := range []*[]*Tensor{&c.keys, &c.values} {
			t := tensor("keys and values", F32, sequences*context, h.KV*h.Dim)
			if t.bytes() > ps.Limits.Binding {
				return nil, fmt.Errorf("keys of %d tokens need %d MiB, more than this adapter binds at once (%d MiB): ask for a shorter context",
					sequences*context, t.bytes()>>20, ps.Limits.Binding>>20)
			}
			if err := c.memory.append(t); err != nil {
				return nil, err
			}
			*list = append(*list, t)
		}
	}
	return c, nil
}

// Allocate makes the buffers on a device. With an error nothing stays allocated.
func (c *Cache) Allocate(dev *gpu.Device) error {
	if len(c.memory.slabs) > 0 {
		return errors.New("the cache is allocated already")
	}
	return c.memory.allocate(dev)
}

// Release frees the buffers.
func (c *Cache) Release() { c.memory.release() }

// Bytes is what the cache occupies on the device.
func (c *Cache) Bytes() int64 { return c.memory.size() }

// NoPosition is the position of a token that belongs to no sequence: what is
// computed for it means nothing and is not stored.
const NoPosition = math.MaxUint32

// NewCached starts a graph over new tokens, each at a place of its own in a
// cache: Program.SetPlaces says where. Attention sees the tokens before it in its
// sequence, those of the same run included; it has no backward pass. What a
// sequence held at those places is overwritten.
func NewCached(ps *Params, c *Cache, tokens int) *Graph {
	g := New(ps, tokens, 1)
	g.cache, g.places = c, g.input("places", U32, 2, tokens)
	return g
}

// SetPlaces sets where the tokens of a graph over a cache lie, [2, tokens]: first
// the position of each in its sequence, or NoPosition, then its sequence.
func (r *Program) SetPlaces(places []uint32) error {
	if err := r.ready(); err != nil {
		return err
	}
	g := r.plan.graph
	if g.cache == nil {
		return errors.New("the tokens of a graph without a cache have their places by order: build it with NewCached")
	}
	if len(places) != 2*g.Tokens() {
		return fmt.Errorf("%d places for %d tokens", len(places)/2, g.Tokens())
	}
	for _, s := range places[g.Tokens():] {
		if int64(s) >= int64(g.cache.sequences) {
			return fmt.Errorf("there is no sequence %d in a cache of %d", s, g.cache.sequences)
		}
	}
	return g.places.write(gpu.Bytes(places))
}

// cachedAttention is Attention over a cache.
func (g *Graph) cachedAttention(qkv *Tensor, h Heads) *Tensor {
	o := tensor("attention", F32, g.Tokens(), h.Query*h.Dim)
	layer := g.attentions
	g.attentions++
	if layer >= len(g.cache.keys) {
		g.fail("more attention operations than the cache has layers (%d)", len(g.cache.keys))
		return o
	}
	c := g.cache
	k := attention.Cached{
		Target: g.params.Target, Tokens: g.Tokens(), Context: c.context,
		Heads: h.Query, KVHeads: h.KV, HeadDim: h.Dim,
	}
	g.add("attention", func(e *emitter) {
		e.run(k.Append(), g.places, qkv, c.keys[layer], c.values[layer])
		e.run(k.Source(), g.places, qkv, c.keys[layer], c.values[layer], o)
	}, nil)
	return o
}
