package graph

import (
	"cmp"
	"maps"
	"slices"
)

// mostAgain bounds, where no bound of memory is given, how much of the arithmetic is
// computed again once gaps are closed: a fifth.
const mostAgain = 0.2

// gap is what was computed again before the call that needs the most memory, which does
// not need it, for a call behind it, too.
type gap struct {
	calls   []int            // that compute it, in order
	tensors map[*Tensor]bool // that they write
	next    int              // the first call behind the gap that uses one of them
	cost    float64          // of the calls, in bytes moved
	size    int64            // of the tensors
}

// closeGaps frees what is computed again for several calls of the backward pass while
// those between them need the most memory, and computes it once more. all are the calls
// with as much dropped as helps; what that leaves room for is kept. It ends once the
// activations fit into limit bytes or, for KeepFew, with the smallest that mostAgain
// allows.
func (d *dropping) closeGaps(all []call, limit int64) (out []call, size int64, err error) {
	sizes, least, err := closings(all, limit, d.size)
	if err != nil {
		return nil, 0, err
	}
	if limit != KeepFew {
		if out, size, err = d.closeTo(all, limit); err != nil || size <= limit {
			return out, size, err
		}
		return least, sizes[len(sizes)-1], nil
	}
	dropped := d.dropped
	out, size = all, sizes[0]
	for from, to := 1, len(sizes); from < to; {
		middle := (from + to) / 2
		d.dropped = maps.Clone(dropped)
		calls, n, err := d.closeTo(all, sizes[middle])
		if err != nil {
			return nil, 0, err
		}
		if n > sizes[middle] || againShare(calls) > mostAgain {
			to = middle
			continue
		}
		out, size, from = calls, n, middle+1
	}
	return out, size, nil
}

// closeTo keeps what leaves room for size bytes once gaps are closed, and closes them.
func (d *dropping) closeTo(all []call, size int64) ([]call, int64, error) {
	most := bounds(all)
	if err := d.keep(func(calls []call) (bool, error) {
		for i, n := range bounds(calls) {
			if n > max(size, most[i]) {
				return false, nil
			}
		}
		return true, nil
	}); err != nil {
		return nil, 0, err
	}
	sizes, calls, err := closings(d.rewrite(), size, d.size)
	return calls, sizes[len(sizes)-1], err
}

// bounds is the largest sum of the tensors that live at each call which is not computed
// again, and at those before it which are.
func bounds(calls []call) (out []int64) {
	var most int64
	for i, n := range liveAt(calls) {
		most = max(most, n)
		if !calls[i].again {
			out = append(out, most)
			most = 0
		}
	}
	return out
}

// closings closes gaps until the activations fit into limit bytes, or as long as it helps:
// those first that cost least for a byte. It returns the sizes on the way, each smaller
// than the one before, and the calls of the last.
func closings(calls []call, limit int64, size func([]call) (int64, error)) (sizes []int64, best []call, err error) {
	n, err := size(calls)
	sizes, best = []int64{n}, calls
	for err == nil && sizes[len(sizes)-1] > limit {
		if calls = closeGap(calls); calls == nil {
			break
		}
		if n, err = size(calls); n < sizes[len(sizes)-1] {
			sizes, best = append(sizes, n), calls
		}
	}
	return sizes, best, err
}

// againShare is how much of the arithmetic is computed again.
func againShare(calls []call) float64 {
	var once, again float64
	for _, c := range calls {
		if c.again {
			again += c.src.Flops
		} else {
			once += c.src.Flops
		}
	}
	return again / once
}

// closeGap closes the cheapest gap at the call that needs the most memory. It is nil
// where none helps.
func closeGap(calls []call) []call {
	live := liveAt(calls)
	most := slices.Max(live)
	peak := slices.Index(live, most)
	peaks := func(live []int64) (n int) {
		for _, size := range live {
			if size == most {
				n++
			}
		}
		return n
	}
	gaps := gapsAt(calls, peak)
	slices.SortStableFunc(gaps, func(a, b gap) int { return cmp.Compare(a.cost/float64(a.size), b.cost/float64(b.size)) })
	for _, g := range gaps {
		closed := g.close(calls)
		after := liveAt(closed)
		if m := slices.Max(after); m < most || m == most && peaks(after) < peaks(live) {
			return closed
		}
	}
	return nil
}

// gapsAt finds the gaps at a call.
func gapsAt(calls []call, peak int) (out []gap) {
	writers := map[*Tensor][]int{}
	for i, c := range calls[:peak] {
		for j, x := range c.args {
			if c.src.Writes[j] && x.t.arena == nil {
				writers[x.t] = append(writers[x.t], i)
			}
		}
	}
	seen := map[*Tensor]bool{}
	for _, c := range calls[:peak] {
		for j, x := range c.args {
			if !c.again || !c.src.Writes[j] || seen[x.t] {
				continue
			}
			g := gap{tensors: map[*Tensor]bool{}}
			g.add(calls, writers, x.t)
			for t := range g.tensors {
				seen[t] = true
			}
			if g.measure(calls, peak) {
				out = append(out, g)
			}
		}
	}
	return out
}

// add takes a tensor, the calls that write it, and what else these write.
func (g *gap) add(calls []call, writers map[*Tensor][]int, t *Tensor) {
	if g.tensors[t] {
		return
	}
	g.tensors[t] = true
	for _, i := range writers[t] {
		if !slices.Contains(g.calls, i) {
			g.calls = append(g.calls, i)
		}
		for j, x := range calls[i].args {
			if calls[i].src.Writes[j] {
				g.add(calls, writers, x.t)
			}
		}
	}
	slices.Sort(g.calls)
}

// measure finds the end, the cost and the size of the gap, and reports whether it can be
// closed: only what is computed again is written, nothing of it is used at the peak, and
// what it is computed from has not changed at the end of the gap.
func (g *gap) measure(calls []call, peak int) bool {
	uses := func(i int) bool {
		return slices.ContainsFunc(calls[i].args, func(x arg) bool { return g.tensors[x.t] })
	}
	if uses(peak) {
		return false
	}
	for g.next = peak + 1; g.next < len(calls) && !uses(g.next); g.next++ {
	}
	if g.next == len(calls) {
		return false
	}
	for t := range g.tensors {
		if t.arena != nil {
			return false
		}
		g.size += roundUp(t.bytes(), alignment)
	}
	for _, i := range g.calls {
		if !calls[i].again {
			return false
		}
		g.cost += calls[i].src.Flops / flopsPerByte
		for _, x := range calls[i].args {
			_, n := x.bytes()
			g.cost += float64(n)
			if !g.tensors[x.t] && rewritten(calls[i+1:g.next], x.t) {
				return false
			}
		}
	}
	return true
}

// close computes everything once more before the call at the end of the gap, into tensors
// of its own that this call and all behind it use.
func (g *gap) close(calls []call) []call {
	fresh := map[*Tensor]*Tensor{}
	for t := range g.tensors {
		fresh[t] = tensor(t.Name, t.DType, t.Rows, t.Cols)
	}
	replaced := func(c call) call {
		c.args = slices.Clone(c.args)
		for j := range c.args {
			if f := fresh[c.args[j].t]; f != nil {
				c.args[j].t = f
			}
		}
		return c
	}
	out := slices.Clone(calls[:g.next])
	for _, i := range g.calls {
		out = append(out, replaced(calls[i]))
	}
	for _, c := range calls[g.next:] {
		out = append(out, replaced(c))
	}
	return out
}
