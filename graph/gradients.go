package graph

import (
	"fmt"
	"math"
	"slices"

	"bitnet/gpu"
)

// GradientRange is a run of gradients that become final together: Elements of
// them from number First on, counted as Params.ReadFlat and WriteFlat do.
type GradientRange struct {
	First, Elements int
	Segment         int      // of the micro-batch, after which they are final
	Names           []string // of the parts of the parameters
}

// Gradients cuts a micro-batch into at most n segments and lists the gradients in
// the order in which they become final: by segment, and in a segment in the
// order of Params.All, neighbours merged. Every element of every parameter lies
// in exactly one range. The cuts depend on the graph and on the arithmetic of
// its kernels: machines that exchange ranges compare them before.
func (p *Plan) Gradients(n int) []GradientRange {
	if !p.trains() {
		return nil
	}
	ends := p.cuts(n)
	final := p.finalCalls()
	var out []GradientRange
	for s := range ends {
		first := 0
		for _, q := range p.graph.params.Trained() {
			at, _ := slices.BinarySearch(ends, final[q]+1) // the segment that ends with the call, or later
			if at == s {
				out = extendRange(out, q, first, s)
			}
			first += q.size()
		}
	}
	return out
}

// extendRange adds a parameter to the last range, or starts a new one.
func extendRange(list []GradientRange, q *Param, first, segment int) []GradientRange {
	last := len(list) - 1
	if last < 0 || list[last].Segment != segment || list[last].First+list[last].Elements != first {
		list = append(list, GradientRange{First: first, Segment: segment})
		last++
	}
	r := &list[last]
	r.Elements += q.size()
	for _, part := range q.Parts {
		r.Names = append(r.Names, part.Name)
	}
	return list
}

// finalCalls finds the last call of a micro-batch that writes the gradient of
// each parameter. A parameter that the graph does not use is not in it.
func (p *Plan) finalCalls() map[*Param]int {
	owner := map[*Tensor]*Param{}
	for _, q := range p.graph.params.Trained() {
		for _, b := range q.stored() {
			owner[b.grad] = q
		}
	}
	final := map[*Param]int{}
	for i, c := range p.emitted[:p.micro] {
		for j, x := range c.args {
			if q := owner[x.t]; q != nil && c.src.Writes[j] {
				final[q] = i
			}
		}
	}
	return final
}

// cuts are the ends of at most n segments of a micro-batch, as numbers of calls.
// A segment ends where a gradient becomes final, as near as can be to an equal
// share of the arithmetic that is left.
func (p *Plan) cuts(n int) []int {
	var places []int
	for _, call := range p.finalCalls() {
		places = append(places, call+1)
	}
	slices.Sort(places)
	work := make([]float64, p.micro+1) // of the calls before each
	for i, c := range p.emitted[:p.micro] {
		work[i+1] = work[i] + 1 + c.src.Flops
	}
	var ends []int
	for done := 0; n > 1; n-- {
		share := work[done] + (work[p.micro]-work[done])/float64(n)
		best := -1
		for _, at := range places {
			if at > done && at < p.micro && (best < 0 || math.Abs(work[at]-share) < math.Abs(work[best]-share)) {
				best = at
			}
		}
		if best < 0 {
			break
		}
		ends = append(ends, best)
		done = best
	}
	return append(ends, p.micro)
}

// Segment is a piece of a micro-batch.
type Segment struct {
	// Gradients are final once the segment has run.
	Gradients []GradientRange

	owner   *Program
	program *gpu.Program
	number  int
	next    *int // number of the segment to run next, shared by all of a micro-batch
}

// Segments compiles the micro-batch as at most n segments of about equal work,
// cut where gradients become final. Running all of them in order is MicroBatch:
// the same kernels on the same buffers. Where other segments follow, gradients
// that are final can be read before these are run. Only the first call for an n
// compiles.
func (r *Program) Segments(n int) ([]*Segment, error) {
	if err := r.trains(); err != nil {
		return nil, err
	}
	if n < 1 {
		return nil, fmt.Errorf("a micro-batch cannot be cut into %d segments: ask for at least one", n)
	}
	if list, ok := r.segments[n]; ok {
		return list, nil
	}
	var list []*Segment
	begin, next := 0, new(int)
	for i, end := range r.plan.cuts(n) {
		program, err := assemble(r.dev, fmt.Sprintf("segment %d", i), r.plan.calls[begin:end])
		if err != nil {
			for _, s := range list {
				s.release()
			}
			return nil, err
		}
		list = append(list, &Segment{owner: r, program: program, number: i, next: next})
		begin = end
	}
	for _, g := range r.plan.Gradients(n) {
		list[g.Segment].Gradients = append(list[g.Segment].Gradients, g)
	}
	r.segments[n] = list
	return list, nil
}

// Run runs the segment on the loaded micro-batch. Each follows the one before;
// the first can always be run.
func (s *Segment) Run() error {
	if err := s.owner.ready(); err != nil {
		return err
	}
	if s.number != 0 && s.number != *s.next {
		return fmt.Errorf("segment %d of a micro-batch is run after segment %d: run them in order", s.number, *s.next-1)
	}
	*s.next = s.number + 1
	return s.program.Run()
}

func (s *Segment) release() { s.program.Release() }
