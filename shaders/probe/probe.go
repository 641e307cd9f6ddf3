// Package probe has kernels that measure what an adapter can do: how fast it
// computes, moves memory, and starts a kernel.
package probe

import (
	"embed"
	"fmt"

	"bitnet/shaders"
)

//go:embed *.wgsl
var files embed.FS

var family = shaders.NewFamily("probe", files, "uniform.wgsl")

// Arithmetic measures how fast an adapter computes, with no memory in the
// way: f32 multiplications and additions in one operation ("fma") or two
// ("mul+add"), the same of i32 ("i32"), or dot products of four int8 added to
// an i32 ("dot", where the language has packed products). Chains is how many
// vectors of four an invocation computes with at a time. Binding: y, four words whose
// first is the factor.
type Arithmetic struct {
	Target shaders.Target
	Kind   string
	Chains int
	Groups int
}

// How many times the body of the loop is written, and how often the loop runs.
// lavapipe pays for each value that a loop carries, so the body is long.
const (
	unroll = 16
	steps  = 64
)

func (k Arithmetic) Source() shaders.Source {
	threads, kind := k.Target.Threads(), "f32"
	flops := 2.0
	switch k.Kind {
	case "i32":
		kind = "i32"
	case "dot":
		kind, flops = "i32", 8
	}
	each := flops * 4 * float64(k.Chains) * unroll * steps
	return family.Source("arithmetic.wgsl", fmt.Sprintf("%s x %d", k.Kind, k.Chains), [3]uint32{uint32(k.Groups), 1, 1},
		each*float64(threads)*float64(k.Groups), struct {
			Arithmetic
			Type                   string
			Threads, Unroll, Steps int
		}{k, kind, threads, unroll, steps})
}

// Matrix measures one shape of an adapter's matrix units. Binding: y, four
// values whose first two are the factors.
type Matrix struct {
	Shape  shaders.MatrixShape
	Groups int
}

// Source reports false for units that this kernel cannot use.
func (k Matrix) Source(units shaders.MatrixUnits) (shaders.Source, bool) {
	const subgroups, steps = 4, 512
	size, pinned := units.SubgroupMax, units.SubgroupMin != units.SubgroupMax
	if size == 0 || (pinned && !units.SizeControl) || (k.Shape.Component != "f16" && k.Shape.Component != "i8") {
		return shaders.Source{}, false
	}
	s := k.Shape
	// Elements of workgroup memory are f16, or i32 of four int8.
	stride := s.K
	if s.Component == "i8" {
		stride = s.K / 4
	}
	flops := 2 * float64(s.M*s.N*s.K) * 4 * steps * subgroups * float64(k.Groups)
	return family.Source("matrix.wgsl", fmt.Sprintf("matrix units %v", s), [3]uint32{uint32(k.Groups), 1, 1}, flops, struct {
		Shape                                                 shaders.MatrixShape
		PinSubgroup                                           bool
		Subgroup, Subgroups, Threads, Steps, StrideK, Factors int
	}{s, pinned, size, subgroups, subgroups * size, steps, stride, stride * (max(s.M, s.N) + 1)}), true
}

// Memory reads a buffer or copies it to another. Layout says who reads what:
// with "neighbours" the invocations of a workgroup read adjacent vectors, with
// "runs" each reads its own run, and with "uniform" a workgroup has one
// invocation, whose addresses lavapipe computes once (CPUTable). Bindings: x and
// y, of Bytes each.
type Memory struct {
	Target shaders.Target
	Bytes  int64
	Copy   bool
	Layout string
}

func (k Memory) Uniform() bool { return k.Layout == "uniform" }
func (k Memory) Runs() bool    { return k.Layout == "runs" }

// Source covers the part of Bytes that whole workgroups take; Flops is the number
// of bytes that they move.
func (k Memory) Source() shaders.Source {
	p := struct {
		Memory
		Threads, Unroll, Rounds, PerGroup, Stride, Groups int
		Vectors                                           int64
	}{Memory: k, Threads: 256, Unroll: 8, Rounds: 4}
	if k.Target != shaders.GPU {
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
	p.Groups = max(1, min(int(k.Bytes/16)/p.PerGroup, shaders.MaxGroups))
	p.Vectors = int64(p.Groups) * int64(p.PerGroup)
	moved := 16 * float64(p.Vectors)
	if k.Copy {
		moved *= 2
	}
	return family.Source("memory.wgsl", k.Layout, [3]uint32{uint32(p.Groups), 1, 1}, moved, p)
}

// Nothing is the smallest kernel. Binding: y, one word.
func Nothing() shaders.Source {
	return family.Source("nothing.wgsl", "nothing", [3]uint32{1, 1, 1}, 0, nil)
}
