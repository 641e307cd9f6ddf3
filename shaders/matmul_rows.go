package shaders

// fewRows is up to how many rows a product is bound by reading b.
const fewRows = 8

// matmulRows has the parameters of the kernel for a few rows.
type matmulRows struct {
	matmulParams
	Words       int // of a row of b: 16 ternary values or 4 floats
	Lanes, Cols int // invocations a column, columns a workgroup
	Uniform     bool
}

// rows lays the product out for a few rows, and reports whether that kernel
// takes these shapes.
func (p matmulParams) rows() (matmulRows, bool) {
	r := matmulRows{matmulParams: p, Lanes: 1, Cols: 16}
	step := 4
	switch {
	case p.A.Kind == Int8 && p.B.Kind == Ternary:
		step = 16
	case p.A.Kind != F32 || p.B.Kind != F32:
		return r, false
	}
	if p.M > fewRows || !p.A.AlongK || !p.B.AlongK || p.ScaleK || p.Accumulate || p.K%step != 0 {
		return r, false
	}
	r.Words = p.K / step
	if p.Target == GPU {
		r.Lanes, r.Cols = 16, 8
	}
	r.Uniform = p.Target == CPUTable && r.Words <= maxUniform
	return r, true
}

// Shift moves the ternary code number i of a word to its top.
func (matmulRows) Shift(i int) int { return 30 - 2*i }

// ByteShift moves the int8 value number i of its word to its top.
func (matmulRows) ByteShift(i int) int { return 24 - 8*(i%4) }
