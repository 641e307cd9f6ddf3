package tokenizer

import "math/bits"

// none marks a byte without a token and the lack of a merge.
const none = ^uint32(0)

// Merge says that the tokens Left and Right, side by side, become Result. The
// place in Tokenizer.Merges is its rank: lower ranks merge first.
type Merge struct{ Left, Right, Result uint32 }

// mergeTable finds a merge by its pair: open addressing, because a map's
// overhead would show in every step of encoding.
type mergeTable struct {
	slots []mergeSlot
	shift uint8
}

type mergeSlot struct {
	left, right  uint32 // right is none in an empty slot
	rank, result uint32
}

func newMergeTable(merges []Merge) mergeTable {
	size := bits.Len(uint(2*len(merges) + 1))
	t := mergeTable{slots: make([]mergeSlot, 1<<size), shift: uint8(64 - size)}
	for i := range t.slots {
		t.slots[i].right = none
	}
	for rank, m := range merges {
		i := t.slot(m.Left, m.Right)
		t.slots[i] = mergeSlot{m.Left, m.Right, uint32(rank), m.Result}
	}
	return t
}

// slot gives the place of the pair, or the empty place where it belongs.
func (t *mergeTable) slot(left, right uint32) uint64 {
	mask := uint64(len(t.slots) - 1)
	i := (uint64(left)<<32 | uint64(right)) * 0x9E3779B97F4A7C15 >> t.shift
	for {
		s := &t.slots[i&mask]
		if s.right == none || s.left == left && s.right == right {
			return i & mask
		}
		i++
	}
}

func (t *mergeTable) find(left, right uint32) (rank, result uint32) {
	s := &t.slots[t.slot(left, right)]
	if s.right == none {
		return none, none
	}
	return s.rank, s.result
}

// shortWord is the number of symbols up to which looking through all ranks
// for the lowest beats a heap.
const shortWord = 48

// merger holds what merging a word needs, so that it allocates nothing.
type merger struct {
	symbols []uint32
	ranks   []uint32 // of the merge of symbol i with the next one
	results []uint32
	prev    []int32 // of long words: a linked list through the symbols
	next    []int32
	heap    []uint64 // rank << 32 | position
}

// merge applies the merges to m.symbols, lowest rank first and leftmost first
// among equals, and leaves the tokens there.
func (m *merger) merge(t *mergeTable) {
	switch n := len(m.symbols); {
	case n < 2:
	case n <= shortWord:
		m.mergeShort(t)
	default:
		m.mergeLong(t)
	}
}

func (m *merger) mergeShort(t *mergeTable) {
	symbols := m.symbols
	var ranks, results [shortWord]uint32
	n := len(symbols)
	for i := 0; i+1 < n; i++ {
		ranks[i], results[i] = t.find(symbols[i], symbols[i+1])
	}
	for n > 1 {
		best, at := none, 0
		for i, r := range ranks[:n-1] {
			if r < best {
				best, at = r, i
			}
		}
		if best == none {
			break
		}
		symbols[at] = results[at]
		copy(symbols[at+1:], symbols[at+2:n])
		copy(ranks[at+1:], ranks[at+2:n])
		copy(results[at+1:], results[at+2:n])
		n--
		ranks[at], results[at] = none, none
		if at+1 < n {
			ranks[at], results[at] = t.find(symbols[at], symbols[at+1])
		}
		if at > 0 {
			ranks[at-1], results[at-1] = t.find(symbols[at-1], symbols[at])
		}
	}
	m.symbols = symbols[:n]
}

// mergeLong keeps the candidates in a heap: O(n log n), so that a megabyte
// without a space costs no more than text.
func (m *merger) mergeLong(t *mergeTable) {
	symbols := m.symbols
	n := len(symbols)
	m.ranks, m.results = resize(m.ranks, n), resize(m.results, n)
	m.prev, m.next = resize(m.prev, n), resize(m.next, n)
	m.heap = m.heap[:0]
	for i := range n {
		m.prev[i], m.next[i] = int32(i-1), int32(i+1)
		m.ranks[i] = none
		if i+1 < n {
			m.ranks[i], m.results[i] = t.find(symbols[i], symbols[i+1])
		}
		if m.ranks[i] != none {
			m.heap = append(m.heap, uint64(m.ranks[i])<<32|uint64(i))
		}
	}
	for i := len(m.heap)/2 - 1; i >= 0; i-- {
		m.sink(i)
	}
	for len(m.heap) > 0 {
		top := m.heap[0]
		last := len(m.heap) - 1
		m.heap[0] = m.heap[last]
		m.heap = m.heap[:last]
		m.sink(0)

		at := int(uint32(top))
		if m.ranks[at] != uint32(top>>32) {
			continue // the pair of this entry is gone
		}
		right := m.next[at]
		symbols[at] = m.results[at]
		symbols[right], m.ranks[right] = none, none
		m.next[at] = m.next[right]
		if m.next[at] < int32(n) {
			m.prev[m.next[at]] = int32(at)
		}
		m.candidate(t, at)
		if before := m.prev[at]; before >= 0 {
			m.candidate(t, int(before))
		}
	}
	kept := symbols[:0]
	for i := 0; i < n; i = int(m.next[i]) {
		kept = append(kept, symbols[i])
	}
	m.symbols = kept
}

// candidate looks up the merge of the symbol at i with the one after it.
func (m *merger) candidate(t *mergeTable, i int) {
	m.ranks[i] = none
	next := int(m.next[i])
	if next >= len(m.symbols) {
		return
	}
	m.ranks[i], m.results[i] = t.find(m.symbols[i], m.symbols[next])
	if m.ranks[i] != none {
		m.heap = append(m.heap, uint64(m.ranks[i])<<32|uint64(i))
		m.rise(len(m.heap) - 1)
	}
}

func (m *merger) sink(i int) {
	h := m.heap
	for {
		child := 2*i + 1
		if child >= len(h) {
			return
		}
		if child+1 < len(h) && h[child+1] < h[child] {
			child++
		}
		if h[i] <= h[child] {
			return
		}
		h[i], h[child] = h[child], h[i]
		i = child
	}
}

func (m *merger) rise(i int) {
	h := m.heap
	for i > 0 {
		parent := (i - 1) / 2
		if h[parent] <= h[i] {
			return
		}
		h[i], h[parent] = h[parent], h[i]
		i = parent
	}
}

func resize[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
