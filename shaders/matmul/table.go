package matmul

import (
	"fmt"

	"bitnet/shaders"
)

// tableParams has the parameters of the kernels that use the uniform table.
type tableParams struct {
	params
	Rows, Cols     int // of sums, an invocation
	Step           int // of the summed dimension, unrolled
	Lanes          int
	Steps          int  // in all
	ChunkSteps     int  // that 16-bit sums hold
	Tiles          int  // of rows
	ScaleA, ScaleB bool // which operand takes the factor over k
}

// tables lays the product out for the uniform table: a row of a is the same for
// all lanes, and each lane has columns of its own. There is no such layout for
// some shapes; the general kernel takes those.
func (p params) tables() []shaders.Variant {
	t := tableParams{params: p, Rows: 16, Cols: 4, Step: 4, Lanes: 16}
	t.AType, t.BType, t.FactorType, t.OutType = "vec4<f32>", "vec4<f32>", "vec4<f32>", "vec4<f32>"
	file := "table.wgsl"
	if p.Batched() && (p.A.Kind != F32 || p.B.Kind != F32 || p.Batch > shaders.MaxUniform) {
		return nil
	}
	large := p.M*p.N*p.K >= 1<<28 // more rows pay for their time to compile
	if p.N%4 != 0 || p.K%4 != 0 || (!p.A.AlongK && p.M%4 != 0) {
		return nil
	}
	switch {
	case p.A.Kind == Int8 && p.A.AlongK && p.B.Kind == Ternary && p.B.AlongK && !p.ScaleK && p.K%16 == 0:
		file, t.Step, t.AType, t.BType = "integer_table.wgsl", 16, "vec4<u32>", "u32"
		if large {
			t.Rows = 32
		}
	case p.A.Kind == Int8 && p.A.AlongK && p.B.Kind == Ternary && !p.B.AlongK && !p.ScaleK && p.N%16 == 0:
		file, t.Rows, t.Cols, t.Lanes, t.AType, t.BType = "integer_columns.wgsl", 8, 16, wideLanes(p.N), "u32", "u32"
		if large {
			t.Rows = 16
		}
	case p.A.Kind != F32:
		return nil
	case p.B.Kind == F32:
		t.Rows = 32
		if large {
			t.Rows = 64
		}
	case p.B.Kind == Int8 && !p.B.AlongK:
		t.BType, t.Rows = "u32", 32
	case p.B.Kind == Ternary && !p.B.AlongK && p.N%16 == 0: // a word has 16 columns
		t.BType, t.Rows, t.Cols, t.Lanes = "u32", 8, 16, wideLanes(p.N)
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
	t.ChunkSteps = shaders.CeilDiv(t.Steps, shaders.CeilDiv(t.Steps, 256/t.Step))
	layouts := [][2]int{{t.Rows, t.Lanes}}
	for _, l := range tableLayouts {
		// More rows do not fit the registers any better where a lane has more columns.
		if l[0]*t.Cols <= 256 && l[0] < 2*p.M && l != layouts[0] {
			layouts = append(layouts, l)
		}
	}
	var out []shaders.Variant
	for i, l := range layouts {
		t.Rows, t.Lanes = l[0], l[1]
		t.Tiles = shaders.CeilDiv(p.M, t.Rows)
		t.TileM, t.TileN = t.Rows, t.Cols*t.Lanes
		if max(t.Steps, t.Tiles) <= shaders.MaxUniform {
			out = append(out, p.variant(fmt.Sprintf("table %dx%d, %d lanes", t.Rows, t.Cols, t.Lanes), p.String(), file, t.groups(), t))
		} else if i == 0 {
			return nil
		}
	}
	return out
}

// wideLanes is how many lanes with 16 columns each leave the fewest of them idle.
func wideLanes(n int) int {
	if 2*shaders.CeilDiv(n, 32*16) == shaders.CeilDiv(n, 16*16) {
		return 32
	}
	return 16
}

func (t tableParams) groups() [3]uint32 {
	return [3]uint32{uint32(shaders.CeilDiv(t.N, t.Cols*t.Lanes)), uint32(t.Tiles), uint32(t.Count())}
}
