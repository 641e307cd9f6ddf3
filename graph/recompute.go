package graph

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
)

// Bounds of LimitMemory.
const (
	KeepAll = 0  // no bound: every activation is kept for the backward pass
	KeepFew = -1 // as little memory as possible
)

// LimitMemory bounds the memory of a training step in bytes, parameters included.
// Where it needs more, some activations are not kept for the backward pass but
// computed again when it needs them, those first that cost least for a byte (Chen et
// al., Training deep nets with sublinear memory cost, arXiv 1604.06174). The results
// are the same bits. Planning fails where the bound cannot be met.
func (g *Graph) LimitMemory(bytes int64) { g.memory = bytes }

// activationLimit is what a bound of the whole step leaves for activations.
func (g *Graph) activationLimit() (int64, error) {
	if g.memory == KeepAll || g.memory == KeepFew {
		return g.memory, nil
	}
	rest := g.memory
	for _, a := range g.arenas() {
		rest -= a.size()
	}
	if rest <= 0 {
		return 0, fmt.Errorf("the parameters alone need %d MiB, and %d MiB are allowed", mebibytes(g.memory-rest), g.memory>>20)
	}
	return rest, nil
}

// group is a set of forward calls, and the tensors that these and no others write:
// what is kept, or computed again, together.
type group struct {
	calls   []int // in order
	tensors []*Tensor
	cost    float64 // of the calls, in bytes moved
	size    int64   // of the tensors
}

// flopsPerByte weighs arithmetic against memory traffic: about what adapters do of
// one in the time of the other.
const flopsPerByte = 20

// recompute gives the calls of a micro-batch so that all activations of a step fit
// into limit bytes. The emitter has the forward pass, the backward pass until micro,
// and the update.
func recompute(e *emitter, forward, micro int, limit int64) ([]call, error) {
	calls := e.calls[:micro]
	if limit == KeepAll {
		return calls, nil
	}
	candidates := groups(calls, forward)
	slices.SortStableFunc(candidates, func(a, b *group) int {
		return cmp.Compare(a.cost/float64(a.size), b.cost/float64(b.size))
	})
	d := &dropping{calls: calls, after: e.calls[micro:], forward: forward, limits: e.limits, candidates: candidates}
	now, err := d.drop(limit)
	if err != nil {
		return nil, err
	}
	all := d.rewrite()
	dropped := maps.Clone(d.dropped)
	// Keep what turned out not to matter.
	if err := d.keep(func(calls []call) (bool, error) {
		n, err := d.size(calls)
		return n <= max(now, limit), err
	}); err != nil {
		return nil, err
	}
	out := d.rewrite()
	if now > limit {
		d.dropped = dropped
		closed, n, err := d.closeGaps(all, limit)
		if err != nil {
			return nil, err
		}
		if n < now {
			out, now = closed, n
		}
	}
	if limit != KeepFew && now > limit {
		return nil, fmt.Errorf("the activations need %d MiB at least, and the memory that is allowed leaves %d MiB for them: lower the batch size and raise gradient accumulation", mebibytes(now), limit>>20)
	}
	e.count(out)
	return out, nil
}

// dropping chooses which groups are not kept.
type dropping struct {
	calls, after []call // of the micro-batch, and of the update
	forward      int    // how many of calls are the forward pass
	limits       Limits
	candidates   []*group // the cheapest for a byte first
	dropped      map[*group]bool
}

// rewrite gives the calls with what is dropped computed again.
func (d *dropping) rewrite() []call {
	out, _ := again(d.calls, d.forward, d.candidates, d.dropped)
	return out
}

// size is what the activations of a step occupy.
func (d *dropping) size(calls []call) (int64, error) {
	return packedSize(slices.Concat(calls, d.after), d.limits)
}

// drop drops groups until the activations fit into limit bytes, or as many as help. It
// returns what the activations occupy then.
func (d *dropping) drop(limit int64) (int64, error) {
	d.dropped = map[*group]bool{}
	now, err := d.size(d.calls)
	if err != nil {
		return 0, err
	}
	peak := mostLive(d.calls)
	for _, c := range d.candidates {
		if now <= limit {
			break
		}
		d.dropped[c] = true
		rewritten, possible := again(d.calls, d.forward, d.candidates, d.dropped)
		p := mostLive(rewritten)
		if !possible || p > peak {
			delete(d.dropped, c)
			continue
		}
		peak = p
		if now, err = d.size(rewritten); err != nil {
			return 0, err
		}
	}
	return now, nil
}

// keep keeps dropped groups after all, the most expensive first, as long as the calls fit.
func (d *dropping) keep(fit func([]call) (bool, error)) error {
	for _, c := range slices.Backward(d.candidates) {
		if !d.dropped[c] {
			continue
		}
		delete(d.dropped, c)
		out, possible := again(d.calls, d.forward, d.candidates, d.dropped)
		fits, err := fit(out)
		if err != nil {
			return err
		}
		if !possible || !fits {
			d.dropped[c] = true
		}
	}
	return nil
}

func mebibytes(n int64) int64 { return (n + 1<<20 - 1) >> 20 }

// groups finds what may be computed again: tensors that only calls of the forward
// pass write, and that the backward pass reads. Calls which write the same tensor,
// and tensors that the same call writes, belong together.
func groups(calls []call, forward int) []*group {
	writers := map[*Tensor][]int{}
	readByBackward := map[*Tensor]bool{}
	barred, changing := map[*Tensor]bool{}, map[*Tensor]bool{}
	for i, c := range calls {
		for j, x := range c.args {
			switch t := x.t; {
			case t.arena != nil:
			case c.src.Writes[j] && i >= forward:
				readByBackward[t] = len(writers[t]) > 0 // a gradient that takes its place
			case c.src.Writes[j]:
				writers[t] = append(writers[t], i)
			case i >= forward:
				readByBackward[t] = true
			default:
				// A call that reads it before its last writer has run would read
				// something else the second time.
				if w := writers[t]; len(w) > 0 && rewritten(calls[i+1:forward], t) {
					barred[t], changing[t] = true, true
				}
			}
		}
	}
	of := map[*Tensor]*group{}
	var list []*group
	for i, c := range calls[:forward] {
		var g *group
		var fixed bool // it writes what stays
		for j, x := range c.args {
			if !c.src.Writes[j] {
				fixed = fixed || changing[x.t]
				continue
			}
			fixed = fixed || x.t.arena != nil || barred[x.t]
			if g == nil {
				g = of[x.t]
			}
		}
		if fixed {
			for j, x := range c.args {
				if c.src.Writes[j] {
					barred[x.t] = true
				}
			}
			continue
		}
		if g == nil {
			g = &group{}
			list = append(list, g)
		}
		g.calls = append(g.calls, i)
		g.cost += c.src.Flops / flopsPerByte
		for j, x := range c.args {
			_, n := x.bytes()
			g.cost += float64(n)
			if c.src.Writes[j] && of[x.t] == nil {
				of[x.t] = g
				g.tensors = append(g.tensors, x.t)
				g.size += x.t.bytes()
			}
		}
	}
	return slices.DeleteFunc(list, func(g *group) bool {
		return slices.ContainsFunc(g.tensors, func(t *Tensor) bool {
			return barred[t] || slices.ContainsFunc(writers[t], func(i int) bool { return !slices.Contains(g.calls, i) })
		}) ||
			!slices.ContainsFunc(g.tensors, func(t *Tensor) bool { return readByBackward[t] })
	})
}

// rewritten reports whether calls write t.
func rewritten(calls []call, t *Tensor) bool {
	for _, c := range calls {
		for j, x := range c.args {
			if x.t == t && c.src.Writes[j] {
				return true
			}
		}
	}
	return false
}

// again inserts the calls of dropped groups before the backward pass first needs
// what they write, over tensors of their own. It is not possible where they read what
// a gradient has overwritten by then.
func again(calls []call, forward int, candidates []*group, dropped map[*group]bool) (out []call, possible bool) {
	if len(dropped) == 0 {
		return slices.Clone(calls), true
	}
	of := map[*Tensor]*group{}
	for _, g := range candidates {
		if dropped[g] {
			for _, t := range g.tensors {
				of[t] = g
			}
		}
	}
	out, possible = slices.Clone(calls[:forward]), true
	fresh := map[*Tensor]*Tensor{}
	overwritten := map[*Tensor]bool{}
	var need func(t *Tensor)
	replaced := func(c call) call {
		args := slices.Clone(c.args)
		for j := range args {
			if f := fresh[args[j].t]; f != nil {
				args[j].t = f
			}
		}
		c.args = args
		return c
	}
	need = func(t *Tensor) {
		g := of[t]
		if g == nil || fresh[t] != nil {
			return
		}
		for _, t := range g.tensors {
			fresh[t] = tensor(t.Name+" again", t.DType, t.Rows, t.Cols)
		}
		for _, i := range g.calls {
			for _, x := range calls[i].args {
				need(x.t)
				possible = possible && !overwritten[x.t]
			}
			c := replaced(calls[i])
			c.again = true
			out = append(out, c)
		}
	}
	for _, c := range calls[forward:] {
		for j, x := range c.args {
			need(x.t)
			overwritten[x.t] = overwritten[x.t] || c.src.Writes[j]
		}
		out = append(out, replaced(c))
	}
	return out, possible
}

// lives finds the first and last call that touches each tensor without a place.
func lives(calls []call) (list []*Tensor, first, last map[*Tensor]int) {
	first, last = map[*Tensor]int{}, map[*Tensor]int{}
	for i, c := range calls {
		for _, x := range c.args {
			if x.t.arena != nil {
				continue
			}
			if _, seen := first[x.t]; !seen {
				first[x.t] = i
				list = append(list, x.t)
			}
			last[x.t] = i
		}
	}
	return list, first, last
}

// mostLive is the largest sum of the tensors that live at one time.
func mostLive(calls []call) int64 { return slices.Max(liveAt(calls)) }

// liveAt is the sum of the tensors that live at each call.
func liveAt(calls []call) []int64 {
	list, first, last := lives(calls)
	change := make([]int64, len(calls)+1)
	for _, t := range list {
		n := roundUp(t.bytes(), alignment)
		change[first[t]] += n
		change[last[t]+1] -= n
	}
	for i := range calls {
		change[i+1] += change[i]
	}
	return change[:len(calls)]
}

// packedSize is what the activations of calls occupy once they are packed.
func packedSize(calls []call, limits Limits) (int64, error) {
	list, first, last := lives(calls)
	copies := make([]*Tensor, len(list))
	for i, t := range list {
		c := *t
		c.first, c.last = first[t], last[t]
		copies[i] = &c
	}
	a := &arena{limit: limits.Buffer}
	if err := a.pack(copies); err != nil {
		return 0, err
	}
	return a.size(), nil
}

// count adds the calls that compute something again to their products.
func (e *emitter) count(calls []call) {
	for _, c := range calls {
		if !c.again || c.product == "" {
			continue
		}
		at := slices.IndexFunc(e.products, func(p Product) bool { return p.Key == c.product })
		e.products[at].Calls++
	}
}
