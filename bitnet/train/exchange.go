package train

import (
	"fmt"
	"math"
	"time"

	"bitnet/bitnet/cluster"
	"bitnet/graph"
)

const (
	// A micro-batch whose gradients are exchanged is cut into at most mostBuckets
	// segments, and into fewer where a bucket would hold less than leastBucket
	// values: each cut makes the device wait for a read-back.
	mostBuckets = 8
	leastBucket = 1 << 18
)

// exchange is the last micro-batch of a step that ranks share: while a segment
// runs, the gradients of the one before are on their way.
type exchange struct {
	group    *cluster.Group
	format   cluster.Format
	params   *graph.Params
	segments []*graph.Segment
	buckets  [2]bucket

	waited time.Duration // for other ranks, since the last report
}

// bucket holds the gradients that a segment made final.
type bucket struct {
	memory  []float32
	ranges  []graph.GradientRange
	pending *cluster.Pending // nil if the bucket is empty
}

// Buckets is in how many parts the gradients of a model leave for other ranks.
func Buckets(parameters int64) int { return int(min(max(parameters/leastBucket, 1), mostBuckets)) }

// newExchange cuts the micro-batch into segments, the same on all ranks.
func newExchange(group *cluster.Group, program *graph.Program, plan *graph.Plan, params *graph.Params, format string) (*exchange, error) {
	as, err := cluster.ParseFormat(format)
	if err != nil {
		return nil, err
	}
	n := Buckets(params.Count())
	// Other cards may get other kernels, and so other cuts.
	different, err := group.Same(hash(fmt.Sprint(plan.Gradients(n))))
	if err != nil {
		return nil, err
	}
	if different >= 0 {
		n = 1
	}
	x := &exchange{group: group, format: as, params: params}
	if x.segments, err = program.Segments(n); err != nil {
		return nil, err
	}
	for i, s := range x.segments {
		size := 0
		for _, r := range s.Gradients {
			size += r.Elements
		}
		if b := &x.buckets[i%2]; len(b.memory) < size {
			b.memory = make([]float32, size)
		}
	}
	return x, nil
}

// run is MicroBatch, after which the gradients are the sum over all ranks. Where the
// step is measured by this rank's part of it, m gets the norm of its gradients.
func (x *exchange) run(m *measurement) error {
	squares := 0.0
	for i, s := range x.segments {
		if err := s.Run(); err != nil {
			return err
		}
		b := &x.buckets[i%2]
		if err := x.collect(b); err != nil {
			return err
		}
		b.ranges = s.Gradients
		at := 0
		for _, r := range b.ranges {
			if err := x.params.ReadFlat(graph.Grad, r.First, b.memory[at:][:r.Elements]); err != nil {
				return err
			}
			at += r.Elements
		}
		if m != nil && m.exchanged {
			for _, v := range b.memory[:at] {
				squares += float64(v) * float64(v)
			}
		}
		b.pending = x.group.Sum(b.memory[:at], x.format)
	}
	if m != nil && m.exchanged {
		m.norm = math.Sqrt(squares)
	}
	for i := range x.buckets { // the older one first
		if err := x.collect(&x.buckets[(len(x.segments)+i)%2]); err != nil {
			return err
		}
	}
	return nil
}

// collect waits for the sums of a bucket and writes them to the device.
func (x *exchange) collect(b *bucket) error {
	if b.pending == nil {
		return nil
	}
	began := time.Now()
	err := b.pending.Wait()
	x.waited += time.Since(began)
	b.pending = nil
	at := 0
	for _, r := range b.ranges {
		if err == nil {
			err = x.params.WriteFlat(graph.Grad, r.First, b.memory[at:][:r.Elements])
		}
		at += r.Elements
	}
	return err
}

// report gives how long each rank has waited for the others since the last
// report, in seconds. Whoever waited least is the slowest.
func (x *exchange) report() ([]float64, error) {
	all, err := x.group.GatherFloats(x.waited.Seconds())
	x.waited = 0
	out := make([]float64, len(all))
	for r, w := range all {
		out[r] = w[0]
	}
	return out, err
}
