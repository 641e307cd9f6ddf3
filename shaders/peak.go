package shaders

import "fmt"

// PeakKinds are the arithmetic that PeakArithmetic measures.
var PeakKinds = []string{"fma", "mul+add", "i32", "dot"}

// PeakArithmetic measures how fast an adapter computes, with no memory in the
// way: f32 multiplications and additions in one operation ("fma") or two
// ("mul+add"), the same of i32 ("i32"), or dot products of four int8 added to
// an i32 ("dot", where the language has packed products). Chains is how many
// vectors of four an invocation has under way. Binding: y, four words whose
// first is the factor.
type PeakArithmetic struct {
	Target Target
	Kind   string
	Chains int
	Groups int
}

// What is repeated in a loop, and how often: lavapipe pays for each value that
// goes round a loop, so that a round is long.
const (
	peakUnroll = 16
	peakSteps  = 64
)

// Next is the chain whose value is a factor for chain i.
func (k PeakArithmetic) Next(i int) int { return (i + 1) % k.Chains }

func (k PeakArithmetic) Source() Source {
	threads, kind := k.Target.threads(), "f32"
	flops := 2.0
	switch k.Kind {
	case "i32":
		kind = "i32"
	case "dot":
		kind, flops = "i32", 8
	}
	each := flops * 4 * float64(k.Chains) * peakUnroll * peakSteps
	return source("peak_arithmetic.wgsl", fmt.Sprintf("%s x %d", k.Kind, k.Chains), [3]uint32{uint32(k.Groups), 1, 1},
		each*float64(threads)*float64(k.Groups), struct {
			PeakArithmetic
			Label, Type            string
			Threads, Unroll, Steps int
		}{k, k.Kind, kind, threads, peakUnroll, peakSteps})
}

// PeakMatrix measures one shape of an adapter's matrix units. Binding: y, four
// values whose first two are the factors.
type PeakMatrix struct {
	Shape  MatrixShape
	Groups int
}

// Source reports false where the units cannot be used as they are.
func (k PeakMatrix) Source(units MatrixUnits) (Source, bool) {
	const subgroups, steps = 4, 512
	size, pinned := units.SubgroupMax, units.SubgroupMin != units.SubgroupMax
	if size == 0 || (pinned && !units.SizeControl) || (k.Shape.Component != "f16" && k.Shape.Component != "i8") {
		return Source{}, false
	}
	s := k.Shape
	// Elements of workgroup memory are f16, or i32 of four int8.
	stride := s.K
	if s.Component == "i8" {
		stride = s.K / 4
	}
	flops := 2 * float64(s.M*s.N*s.K) * 4 * steps * subgroups * float64(k.Groups)
	return source("peak_matrix.wgsl", fmt.Sprintf("matrix units %v", s), [3]uint32{uint32(k.Groups), 1, 1}, flops, struct {
		Shape                                                 MatrixShape
		PinSubgroup                                           bool
		Subgroup, Subgroups, Threads, Steps, StrideK, Factors int
	}{s, pinned, size, subgroups, subgroups * size, steps, stride, stride * (max(s.M, s.N) + 1)}), true
}

// PeakMemory reads a buffer or copies it to another. Layout says who reads what:
// "neighbours" lets the invocations of a workgroup read one behind another,
// "runs" lets each read a run of its own, and "uniform" has one invocation a
// workgroup, whose place lavapipe can compute once (CPUTable). Bindings: x and
// y, of Bytes each.
type PeakMemory struct {
	Target Target
	Bytes  int64
	Copy   bool
	Layout string
}

func (k PeakMemory) Uniform() bool { return k.Layout == "uniform" }
func (k PeakMemory) Runs() bool    { return k.Layout == "runs" }

// Source leaves out what is left of Bytes behind whole workgroups; Flops is the
// number of bytes that are moved.
func (k PeakMemory) Source() Source {
	p := struct {
		PeakMemory
		Threads, Unroll, Rounds, PerGroup, Stride, Groups int
		Words4                                            int64
	}{PeakMemory: k, Threads: 256, Unroll: 8, Rounds: 4}
	if k.Target != GPU {
		p.Threads, p.Rounds = 16, 64
	}
	if k.Uniform() {
		p.Threads, p.Rounds = 1, 512
	}
	p.Stride = p.Threads
	if k.Runs() {
		p.Stride = 1
	}
	p.PerGroup = p.Threads * p.Unroll * p.Rounds
	p.Groups = max(1, min(int(k.Bytes/16)/p.PerGroup, maxGroups))
	p.Words4 = int64(p.Groups) * int64(p.PerGroup)
	moved := 16 * float64(p.Words4)
	if k.Copy {
		moved *= 2
	}
	return source("peak_memory.wgsl", k.Layout, [3]uint32{uint32(p.Groups), 1, 1}, moved, p)
}

// PeakNothing is the smallest kernel. Binding: y, one word.
func PeakNothing() Source {
	return source("peak_nothing.wgsl", "nothing", [3]uint32{1, 1, 1}, 0, nil)
}
