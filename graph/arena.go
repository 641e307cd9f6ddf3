package graph

import (
	"fmt"
	"sort"

	"bitnet/gpu"
)

// alignment of every tensor: WebGPU's offset alignment of storage bindings.
const alignment = 256

// arena is a set of large buffers, the slabs, that hold tensors of one kind.
// A slab is as large as a buffer may be on the adapter.
type arena struct {
	name  string
	limit int64   // of one slab
	align int64   // of what append places, if more than alignment
	sizes []int64 // of the slabs
	slabs []*gpu.Buffer
	lent  []bool // which of them belong to another arena
}

func roundUp(n, to int64) int64 { return (n + to - 1) / to * to }

// size of the whole arena in bytes.
func (a *arena) size() int64 {
	var n int64
	for _, s := range a.sizes {
		n += s
	}
	return n
}

// append places t after all others, for as long as the arena exists.
func (a *arena) append(t *Tensor) error {
	n := roundUp(t.bytes(), max(alignment, a.align))
	if n > a.limit {
		return fmt.Errorf("%s needs %d MiB, more than the adapter allows in one buffer (%d MiB)", t.Name, n>>20, a.limit>>20)
	}
	last := len(a.sizes) - 1
	if last < 0 || a.sizes[last]+n > a.limit {
		a.sizes = append(a.sizes, 0)
		last++
	}
	t.arena, t.slab, t.offset = a, last, a.sizes[last]
	a.sizes[last] += n
	return nil
}

// pack places tensors that live from call first to call last. Tensors whose
// lives overlap get places that do not: the largest first, each at the lowest
// place that is free for its whole life.
func (a *arena) pack(tensors []*Tensor) error {
	order := append([]*Tensor(nil), tensors...)
	sort.SliceStable(order, func(i, j int) bool { return order[i].bytes() > order[j].bytes() })
	var placed []*Tensor // by slab, then offset
	for _, t := range order {
		n := roundUp(t.bytes(), alignment)
		if n > a.limit {
			return fmt.Errorf("%s needs %d MiB, more than the adapter allows in one buffer (%d MiB)", t.Name, n>>20, a.limit>>20)
		}
		slab, at := 0, int64(0)
		for _, p := range placed {
			if p.slab != slab {
				if at+n <= a.limit {
					break // it fits after the last neighbour in this slab
				}
				slab, at = p.slab, 0
			}
			if p.last < t.first || t.last < p.first {
				continue
			}
			if p.offset-at >= n {
				break
			}
			at = max(at, p.offset+roundUp(p.bytes(), alignment))
		}
		if at+n > a.limit {
			slab, at = slab+1, 0
		}
		t.arena, t.slab, t.offset = a, slab, at
		for len(a.sizes) <= slab {
			a.sizes = append(a.sizes, 0)
		}
		a.sizes[slab] = max(a.sizes[slab], at+n)
		i := sort.Search(len(placed), func(i int) bool {
			return placed[i].slab > slab || placed[i].slab == slab && placed[i].offset > at
		})
		placed = append(placed, nil)
		copy(placed[i+1:], placed[i:])
		placed[i] = t
	}
	return nil
}

// allocate makes the slabs' buffers, zeroed. With an error nothing stays
// allocated.
func (a *arena) allocate(dev *gpu.Device) error { return a.allocateOver(dev, nil) }

// allocateOver is allocate but for the slabs that other has and that are large enough;
// other may be nil.
func (a *arena) allocateOver(dev *gpu.Device, other *arena) error {
	for i, n := range a.sizes {
		if other != nil && i < len(other.slabs) && other.sizes[i] >= n {
			a.slabs, a.lent = append(a.slabs, other.slabs[i]), append(a.lent, true)
			continue
		}
		b, err := dev.NewBuffer(fmt.Sprintf("%s %d", a.name, i), n)
		if err != nil {
			a.release()
			return fmt.Errorf("allocating %d MiB for %s: %w", n>>20, a.name, err)
		}
		a.slabs, a.lent = append(a.slabs, b), append(a.lent, false)
	}
	return nil
}

func (a *arena) release() {
	for i, b := range a.slabs {
		if !a.lent[i] {
			b.Release()
		}
	}
	a.slabs, a.lent = nil, nil
}
