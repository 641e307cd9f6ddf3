package matmul

import (
	"fmt"

	"bitnet/shaders"
)

// params are what the templates of all products read.
type params struct {
	Product
	A, B                        operand
	Operands                    []operand
	AType, BType                string // of elements
	FactorType, OutType         string // of factors of columns and of k; of the result and the residual
	OddN                        bool
	CheckM, CheckN, CheckK      bool
	Shared, Packed              bool // by tiles in workgroup memory, and of four int8 a word
	TileM, TileN, TileK         int
	RegM, RegN                  int
	Threads, ThreadsM, ThreadsN int
}

// params lays the product out in tiles.
func (k Product) params(t tiling) params {
	p := params{Product: k, OddN: k.N%4 != 0, OutType: "vec4<f32>", Shared: k.Target == shaders.GPU}
	if p.OddN {
		p.OutType = "f32"
	}
	p.TileM, p.TileN, p.TileK, p.RegM, p.RegN = t.M, t.N, t.K, t.RegM, t.RegN
	p.ThreadsM, p.ThreadsN = t.M/t.RegM, t.N/t.RegN
	p.Threads = p.ThreadsM * p.ThreadsN
	p.CheckM, p.CheckN, p.CheckK = k.M%p.TileM != 0, k.N%p.TileN != 0, k.K%p.TileK != 0
	if k.Symmetric { // a tile's rows become another's columns
		p.CheckM = p.CheckM || p.CheckN
		p.CheckN = p.CheckM
	}
	p.setOperands()
	return p
}

func (p params) groups() [3]uint32 {
	return [3]uint32{uint32(shaders.CeilDiv(p.N, p.TileN)), uint32(shaders.CeilDiv(p.M, p.TileM)), uint32(p.Count())}
}

// operand is an operand as it is stored, and how it is loaded.
type operand struct {
	Operand
	Name                 string
	Rows, Cols, Words    int // as stored
	Tile                 int // side of its tile
	CheckRows, CheckCols bool
	Odd                  bool
	Rolled               bool // loops are not unrolled
	ScaleK, Batched      bool
	element              string
}

// String says how the operand is stored, for the top of a kernel.
func (o operand) String() string {
	packed := [...]string{"", ", four a u32", ", 16 a u32 as codes w + 1"}[o.Kind]
	return fmt.Sprintf("%s, stored [%d, %d]%s", o.Kind, o.Rows, o.Cols, packed)
}

func (o operand) F32() bool     { return o.Kind == F32 }
func (o operand) Int8() bool    { return o.Kind == Int8 }
func (o operand) Ternary() bool { return o.Kind == Ternary }

// setOperands describes both operands, once the tiles are known.
func (p *params) setOperands() {
	k := p.Product
	p.A = p.operand("a", k.A, k.M, p.TileM, p.CheckM)
	p.B = p.operand("b", k.B, k.N, p.TileN, p.CheckN)
	// The factor over k goes to the operand whose loads cost more anyway.
	p.A.ScaleK = k.ScaleK && k.A.Kind == F32
	p.B.ScaleK = k.ScaleK && !p.A.ScaleK
	p.Operands = []operand{p.A, p.B}
	p.AType, p.BType, p.FactorType = p.A.element, p.B.element, "f32"
}

func (p *params) operand(name string, o Operand, outer, tile int, checkOuter bool) operand {
	m := operand{Operand: o, Name: name, Tile: tile, element: "u32", Rolled: !p.Shared, Batched: p.Batched()}
	if o.AlongK {
		m.Rows, m.Cols, m.CheckRows, m.CheckCols = outer, p.K, checkOuter, p.CheckK
	} else {
		m.Rows, m.Cols, m.CheckRows, m.CheckCols = p.K, outer, p.CheckK, checkOuter
	}
	switch o.Kind {
	case F32:
		m.element, m.Odd = "vec4<f32>", m.Cols%4 != 0
		if m.Odd {
			m.element = "f32"
		}
	case Int8:
		m.Words = shaders.Words4(m.Cols)
	case Ternary:
		m.Words = shaders.Words16(m.Cols)
	}
	return m
}

// PerVector is how many elements of a tile are in a vector of four words.
func (p params) PerVector() int {
	if p.Packed {
		return 16
	}
	return 4
}

// pass is one round in which each invocation loads a block of four by four.
type pass struct {
	Operand string // empty where some have a block of a and some of b, or none
	First   int    // the number of the first one's block
}

// Passes loads the blocks of both tiles.
func (p params) Passes() []pass {
	a, b := p.TileM*p.TileK/16, p.TileN*p.TileK/16
	var out []pass
	if p.Mixed() {
		for first := 0; first < a+b; first += p.Threads {
			out = append(out, pass{"", first})
		}
		return out
	}
	for first := 0; first < a; first += p.Threads {
		out = append(out, pass{"a", first})
	}
	for first := 0; first < b; first += p.Threads {
		out = append(out, pass{"b", first})
	}
	return out
}

// Mixed says whether the blocks of an operand are no multiple of the invocations.
func (p params) Mixed() bool {
	return p.TileM*p.TileK/16%p.Threads != 0 || p.TileN*p.TileK/16%p.Threads != 0
}

// Partial says whether some invocations have one block less than others.
func (p params) Partial() bool { return (p.TileM+p.TileN)*p.TileK/16%p.Threads != 0 }
