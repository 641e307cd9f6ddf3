package matmul

import "bitnet/shaders"

// FewRows is the largest number of rows for which reading b limits a product. Up
// to it, the sums of a row have the same order whatever the number of rows is.
const FewRows = 8

// pairedRows is the number of rows from which the uniform table multiplies whole
// numbers faster than the kernel for a few rows.
const pairedRows = 4

// rowsParams has the parameters of the kernel for a few rows.
type rowsParams struct {
	params
	Words       int // of a row of b: 16 ternary values or 4 floats
	Lanes, Cols int // invocations a column, columns a workgroup
	Uniform     bool
}

// rows lays the product out for a few rows, and reports whether that kernel
// takes these shapes.
func (p params) rows() (rowsParams, bool) {
	r := rowsParams{params: p, Lanes: 1, Cols: 16}
	step := 4
	switch {
	case p.A.Kind == Int8 && p.B.Kind == Ternary:
		step = 16
	case p.A.Kind != F32 || p.B.Kind != F32:
		return r, false
	}
	if p.M > FewRows || !p.A.AlongK || !p.B.AlongK || p.ScaleK || p.Accumulate || p.K%step != 0 {
		return r, false
	}
	r.Words = p.K / step
	r.AType, r.BType, r.OutType = "vec4<f32>", "vec4<f32>", "f32"
	if p.B.Kind == Ternary {
		r.AType, r.BType = "vec4<u32>", "u32"
	}
	if p.Target == shaders.GPU {
		r.Lanes, r.Cols = 16, 8
	}
	r.Uniform = p.Target == shaders.CPUTable && r.Words <= shaders.MaxUniform
	return r, true
}
