package matmul

import "bitnet/shaders"

// FewRows is the largest number of rows for which reading b limits a product. Up
// to it, the sums of a row have the same order whatever the number of rows is.
const FewRows = 8

// pairedRows is the number of rows from which the uniform table multiplies whole
// numbers faster than the kernel for a few rows.
const pairedRows = 4

// rowsParams has the parameters of the kernels for a few rows.
type rowsParams struct {
	params
	Step        int  // elements of a row of b that are multiplied at once
	Words       int  // steps of a row
	Lanes, Cols int  // invocations a column, columns a workgroup
	PerLane     int  // columns of an invocation on a CPU
	Twice       bool // two steps are loaded at once
	Uniform     bool
}

// rows lays the product out for a few rows, and reports whether that kernel
// takes these shapes.
func (p params) rows() (rowsParams, bool) {
	r := rowsParams{params: p, Step: 4}
	r.AType, r.BType, r.OutType = "vec4<f32>", "vec4<f32>", "f32"
	switch {
	case p.A.Kind == Int8 && p.B.Kind == Ternary:
		r.Step, r.AType, r.BType = 16, "vec4<u32>", "u32"
	case p.A.Kind == F32 && p.B.Kind == Int8:
		r.BType = "u32"
		if p.Target != shaders.GPU {
			r.Step, r.BType = 16, "vec4<u32>"
		}
	case p.A.Kind != F32 || p.B.Kind != F32:
		return r, false
	}
	if p.M > FewRows || !p.A.AlongK || !p.B.AlongK || p.ScaleK || p.Accumulate || p.K%r.Step != 0 {
		return r, false
	}
	r.Words = p.K / r.Step
	if p.Target == shaders.GPU {
		r.Lanes, r.Cols = 16, 8
		return r, true
	}
	r.Lanes, r.PerLane = 16, p.perLane()
	r.Cols = r.Lanes * r.PerLane
	if r.Twice = p.B.Kind == Ternary && r.Words%2 == 0; r.Twice {
		r.Words /= 2
		r.BType = "vec2<u32>"
	}
	r.Uniform = p.Target == shaders.CPUTable && r.Words <= shaders.MaxUniform
	return r, true
}

// perLane is how many columns a lane of a CPU has: what is loaded and unpacked of a
// serves all of them. Fewer leave more workgroups, for all threads to have some, and take
// less time to compile.
func (p params) perLane() int {
	n := 4
	if p.M > 4 && p.B.Kind == Int8 {
		n = 2
	}
	for n > 1 && shaders.CeilDiv(p.N, 16*n) < 8 {
		n /= 2
	}
	return n
}

// file is the template of the kernel.
func (r rowsParams) file() string {
	if r.Target == shaders.GPU {
		return "rows.wgsl"
	}
	return "rows_lanes.wgsl"
}

// PerStep is the number of words of b in what a lane loads at once.
func (r rowsParams) PerStep() int {
	if r.Twice {
		return 2
	}
	return 1
}
