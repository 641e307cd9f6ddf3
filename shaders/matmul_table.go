package shaders

import "fmt"

// matmulTable has the parameters of the kernels that use the uniform table.
type matmulTable struct {
	matmulParams
	Rows, Cols     int // of sums, an invocation
	Step           int // of the summed dimension, unrolled
	Lanes          int
	Steps          int // in all
	ChunkSteps     int // that 16-bit sums hold
	Tiles          int // of rows
	AElem, BElem   string
	ScaleA, ScaleB bool // which operand takes the factor over k
}

// tables lays the product out for the uniform table: a row of a is the same for
// all lanes, and each lane has columns of its own. There is no such layout for
// some shapes; the general kernel takes those.
func (p matmulParams) tables() []Variant {
	t := matmulTable{matmulParams: p, Rows: 16, Cols: 4, Step: 4, Lanes: 16, AElem: "vec4<f32>", BElem: "vec4<f32>"}
	file := "matmul_table.wgsl"
	if p.N%4 != 0 || p.K%4 != 0 || (!p.A.AlongK && p.M%4 != 0) {
		return nil
	}
	switch {
	case p.A.Kind == Int8 && p.A.AlongK && p.B.Kind == Ternary && p.B.AlongK && !p.ScaleK && p.K%16 == 0:
		file, t.Step, t.AElem, t.BElem = "matmul_integer_table.wgsl", 16, "vec4<u32>", "u32"
	case p.A.Kind == Int8 && p.A.AlongK && p.B.Kind == Ternary && !p.B.AlongK && !p.ScaleK && p.N%16 == 0:
		file, t.Rows, t.Cols, t.Lanes, t.AElem, t.BElem = "matmul_integer_columns.wgsl", 8, 16, wideLanes(p.N), "u32", "u32"
	case p.A.Kind != F32:
		return nil
	case p.B.Kind == F32:
		t.Rows = 32
		if p.A.AlongK && p.M*p.N*p.K >= 1<<28 { // it pays for its time to compile
			t.Rows = 64
		}
	case p.B.Kind == Int8 && !p.B.AlongK:
		t.BElem, t.Rows = "u32", 32
	case p.B.Kind == Ternary && !p.B.AlongK && p.N%16 == 0: // a word has 16 columns
		t.BElem, t.Rows, t.Cols, t.Lanes = "u32", 8, 16, wideLanes(p.N)
	default:
		return nil
	}
	for t.Rows > 4 && t.Rows/2 >= p.M {
		t.Rows /= 2
	}
	// The factor goes where there is less to multiply.
	t.ScaleA = p.ScaleK && p.A.AlongK
	t.ScaleB = p.ScaleK && !p.A.AlongK
	t.Steps = p.K / t.Step
	t.ChunkSteps = ceilDiv(t.Steps, ceilDiv(t.Steps, 256/t.Step))
	layouts := [][2]int{{t.Rows, t.Lanes}}
	for _, l := range tableLayouts {
		// More rows do not fit the registers any better where a lane has more columns.
		if l[0]*t.Cols <= 256 && l[0] < 2*p.M && l != layouts[0] {
			layouts = append(layouts, l)
		}
	}
	var out []Variant
	for i, l := range layouts {
		t.Rows, t.Lanes = l[0], l[1]
		t.Tiles = ceilDiv(p.M, t.Rows)
		if max(t.Steps, t.Tiles) <= maxUniform {
			out = append(out, p.variant(fmt.Sprintf("table %dx%d, %d lanes", t.Rows, t.Cols, t.Lanes), p.String(), file, t.groups(), t))
		} else if i == 0 {
			return nil
		}
	}
	return out
}

// wideLanes is how many lanes with 16 columns each leave the fewest of them idle.
func wideLanes(n int) int {
	if 2*ceilDiv(n, 32*16) == ceilDiv(n, 16*16) {
		return 32
	}
	return 16
}

func (t matmulTable) groups() [3]uint32 {
	return [3]uint32{uint32(ceilDiv(t.N, t.Cols*t.Lanes)), uint32(t.Tiles), 1}
}

// Products writes " + a0 * b0 + a1 * b1 ..." over the steps of k, for the row i and
// the columns' vector j.
func (t matmulTable) Products(i, j int) string {
	s := ""
	for k := range t.Step {
		a := fmt.Sprintf("a%d.%c", i, "xyzw"[k%4])
		if !t.A.AlongK {
			a = fmt.Sprintf("a%d_%d.%c", i/4, k, "xyzw"[i%4])
		}
		s += fmt.Sprintf(" + %s * b%d_%d", a, k, j)
	}
	return s
}

// Shift moves the ternary code number i of a word to its top.
func (t matmulTable) Shift(i int) int { return 30 - 2*i }

// Pairs writes the sum over 16 steps of k of the rows 2 i and 2 i + 1.
func (t matmulTable) Pairs(i int) string {
	s := ""
	for k := range t.Step {
		s += fmt.Sprintf(" + a%d_%d * w%d", i, k, k)
	}
	return s
}
