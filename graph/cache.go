package graph

import (
	"errors"
	"fmt"

	"bitnet/gpu"
	"bitnet/shaders/attention"
)

// Cache holds the keys and values of all attention operations for sequences
// that grow, so that a token is computed once: [batch, context, KV*Dim] each.
// Graphs over different numbers of new tokens share one Cache.
type Cache struct {
	batch, context int
	keys, values   []*Tensor // of each layer
	start          *Tensor   // [1, batch], where each sequence's new tokens begin
	state          *arena
	memory         *arena
}

// NewCache lays out a cache for batch sequences of at most context tokens
// through layers attention operations.
func NewCache(ps *Params, layers, batch, context int, h Heads) (*Cache, error) {
	c := &Cache{
		batch: batch, context: context,
		state:  &arena{name: "positions", limit: ps.Limits.Buffer},
		memory: &arena{name: "keys and values", limit: ps.Limits.Buffer},
	}
	c.start = tensor("start", U32, 1, batch)
	if err := c.state.append(c.start); err != nil {
		return nil, err
	}
	for range layers {
		for _, list := range []*[]*Tensor{&c.keys, &c.values} {
			t := tensor("keys and values", F32, batch*context, h.KV*h.Dim)
			if t.bytes() > ps.Limits.Binding {
				return nil, fmt.Errorf("keys of %d tokens need %d MiB, more than this adapter binds at once (%d MiB): ask for a shorter context",
					batch*context, t.bytes()>>20, ps.Limits.Binding>>20)
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
	if len(c.state.slabs) > 0 {
		return errors.New("the cache is allocated already")
	}
	if err := c.state.allocate(dev); err != nil {
		return err
	}
	if err := c.memory.allocate(dev); err != nil {
		c.state.release()
		return err
	}
	return nil
}

// Release frees the buffers.
func (c *Cache) Release() {
	c.state.release()
	c.memory.release()
}

// Bytes is what the cache occupies on the device.
func (c *Cache) Bytes() int64 { return c.state.size() + c.memory.size() }

// SetStart sets the position in each sequence where the tokens of the next run
// begin. Everything that a sequence held from there on is overwritten.
func (c *Cache) SetStart(start []uint32) error { return c.start.write(gpu.Bytes(start)) }

// NewCached starts a graph over the next seq tokens of every sequence of a
// cache. Its attention sees the tokens before them; it has no backward pass.
// Where a sequence has fewer than seq new tokens, let its next run start where
// they end: that overwrites what was computed for the rest.
func NewCached(ps *Params, c *Cache, seq int) *Graph {
	g := New(ps, c.batch, seq)
	g.cache = c
	return g
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
		Target: g.params.Target, Batch: g.batch, Seq: g.seq, Context: c.context,
		Heads: h.Query, KVHeads: h.KV, HeadDim: h.Dim,
	}
	g.add("attention", func(e *emitter) {
		e.run(k.Append(), c.start, qkv, c.keys[layer], c.values[layer])
		e.run(k.Source(), c.start, qkv, c.keys[layer], c.values[layer], o)
	}, nil)
	return o
}
