package shaders

import "fmt"

// Kind is how the elements of an operand are stored.
type Kind int

const (
	F32     Kind = iota
	Int8         // four a u32
	Ternary      // 16 a u32, codes w + 1
)

func (k Kind) String() string { return [...]string{"f32", "int8", "ternary"}[k] }

// Operand is one factor of a matrix product.
type Operand struct {
	Kind Kind
	// AlongK says that a stored row runs along the summed dimension: a is
	// stored [M, K], b [N, K]. Otherwise a is stored [K, M], b [K, N].
	AlongK bool
}

// MatMul is the product c[m, n] = rows[m] cols[n] sum_k a(m, k) scale[k] b(k, n),
// plus a residual or what c held.
//
// Bindings: a, b, then those of scale [K], rows [M], cols [N] and residual
// [M, N] that are used, then c [M, N].
type MatMul struct {
	Target                     Target
	M, N, K                    int
	A, B                       Operand
	ScaleK, RowScale, ColScale bool
	Residual, Accumulate       bool
	// Gain is a power of two by which a is multiplied before it is rounded to
	// fewer bits, and the sum divided; 0 is 1. Only MatrixSource rounds.
	Gain float32
}

// Whole says whether it sums products of whole numbers: int8 by int8 or ternary.
func (k MatMul) Whole() bool { return k.A.Kind == Int8 && k.B.Kind != F32 && !k.ScaleK }

type matmulOperand struct {
	Operand
	Name                 string
	Binding              int
	Rows, Cols, Words    int // as stored
	CheckRows, CheckCols bool
	Odd                  bool
	Rolled               bool // loops are kept from being written out
	ScaleK               bool
	Element              string
}

func (o matmulOperand) String() string {
	return fmt.Sprintf("%s, stored [%d, %d]", o.Kind, o.Rows, o.Cols)
}

type matmulVector struct {
	Name    string
	Binding int
}

type matmulParams struct {
	MatMul
	A, B                        matmulOperand
	Operands                    []matmulOperand
	Vectors                     []matmulVector
	ResidualBinding             int
	OutBinding                  int
	OutElement                  string
	OddN                        bool
	CheckM, CheckN, CheckK      bool
	Shared, Packed              bool // by tiles in workgroup memory, and of four int8 a word
	TileM, TileN, TileK         int
	RegM, RegN                  int
	Threads, ThreadsM, ThreadsN int
}

// Source specialises the kernel, in the variant that is taken unless one is measured to be faster.
func (k MatMul) Source() Source { return k.Variants(0)[0].Source() }

// Variants are the kernels that compute the product from its operands as they
// are, each in a layout that fits the shapes. Source is the first. The adapter's
// workgroups have memory bytes, 0 for what WebGPU guarantees.
func (k MatMul) Variants(memory int) []Variant {
	tiles := k.tilings(memory)
	p := k.params(tiles[0])
	if r, fits := p.rows(); fits {
		return []Variant{k.variant("rows", k.String(), "matmul_rows.wgsl", fold(ceilDiv(k.N, r.Cols)), r)}
	}
	if k.Target == CPUTable {
		if all := p.tables(); len(all) > 0 {
			return all
		}
	}
	var out []Variant
	for _, t := range tiles {
		p := k.params(t)
		out = append(out, k.variant(t.String(), k.String(), "matmul.wgsl", p.groups(), p))
	}
	return out
}

// variant names a kernel of the product.
func (k MatMul) variant(name, label, file string, groups [3]uint32, params any) Variant {
	return Variant{name, func() Source {
		s := source(file, label, groups, 2*float64(k.M)*float64(k.N)*float64(k.K), params)
		s.Variant = name
		return s
	}}
}

// String names the product in labels.
func (k MatMul) String() string {
	return fmt.Sprintf("matmul %dx%dx%d %s%s.%s%s", k.M, k.N, k.K, k.A.Kind, letter(k.A, "nt"), k.B.Kind, letter(k.B, "tn"))
}

// params lays the product out in tiles.
func (k MatMul) params(t tiling) matmulParams {
	p := matmulParams{MatMul: k, OddN: k.N%4 != 0, OutElement: "vec4<f32>", Shared: k.Target == GPU}
	if p.OddN {
		p.OutElement = "f32"
	}
	p.TileM, p.TileN, p.TileK, p.RegM, p.RegN = t.M, t.N, t.K, t.RegM, t.RegN
	p.ThreadsM, p.ThreadsN = t.M/t.RegM, t.N/t.RegN
	p.Threads = p.ThreadsM * p.ThreadsN
	p.CheckM, p.CheckN, p.CheckK = k.M%p.TileM != 0, k.N%p.TileN != 0, k.K%p.TileK != 0
	p.assign()
	return p
}

// TileOf is the side of an operand's tile.
func (p matmulParams) TileOf(name string) int {
	if name == "a" {
		return p.TileM
	}
	return p.TileN
}

// PerVector is how many elements of a tile lie in a vector of four words.
func (p matmulParams) PerVector() int {
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
func (p matmulParams) Passes() []pass {
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
func (p matmulParams) Mixed() bool {
	return p.TileM*p.TileK/16%p.Threads != 0 || p.TileN*p.TileK/16%p.Threads != 0
}

// Partial says whether some invocations have a block less than others.
func (p matmulParams) Partial() bool { return (p.TileM+p.TileN)*p.TileK/16%p.Threads != 0 }

func (p matmulParams) groups() [3]uint32 {
	return [3]uint32{uint32(ceilDiv(p.N, p.TileN)), uint32(ceilDiv(p.M, p.TileM)), 1}
}

// assign numbers the bindings.
func (p *matmulParams) assign() {
	k := p.MatMul
	p.A = p.operand("a", 0, k.A, k.M, p.CheckM)
	p.B = p.operand("b", 1, k.B, k.N, p.CheckN)
	// The factor over k goes to the operand whose loads cost more anyway.
	p.A.ScaleK = k.ScaleK && k.A.Kind == F32
	p.B.ScaleK = k.ScaleK && !p.A.ScaleK
	p.Operands = []matmulOperand{p.A, p.B}
	p.Vectors = nil
	next := 2
	for _, v := range []struct {
		name string
		used bool
	}{{"scale", k.ScaleK}, {"rows", k.RowScale}, {"cols", k.ColScale}} {
		if v.used {
			p.Vectors = append(p.Vectors, matmulVector{v.name, next})
			next++
		}
	}
	if k.Residual {
		p.ResidualBinding = next
		next++
	}
	p.OutBinding = next
}

func letter(o Operand, letters string) string {
	if o.AlongK {
		return "." + letters[:1]
	}
	return "." + letters[1:]
}

func (p *matmulParams) operand(name string, binding int, o Operand, outer int, checkOuter bool) matmulOperand {
	m := matmulOperand{Operand: o, Name: name, Binding: binding, Element: "u32", Rolled: !p.Shared}
	if o.AlongK {
		m.Rows, m.Cols, m.CheckRows, m.CheckCols = outer, p.K, checkOuter, p.CheckK
	} else {
		m.Rows, m.Cols, m.CheckRows, m.CheckCols = p.K, outer, p.CheckK, checkOuter
	}
	switch o.Kind {
	case F32:
		m.Element, m.Odd = "vec4<f32>", m.Cols%4 != 0
		if m.Odd {
			m.Element = "f32"
		}
	case Int8:
		m.Words = Words4(m.Cols)
	case Ternary:
		m.Words = Words16(m.Cols)
	}
	return m
}
