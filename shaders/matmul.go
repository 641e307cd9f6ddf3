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
	Shared                      bool
	TileM, TileN, TileK         int
	RegM, RegN                  int
	Threads, ThreadsM, ThreadsN int
}

// Source specialises the kernel.
func (k MatMul) Source() Source {
	p := matmulParams{MatMul: k, OddN: k.N%4 != 0, OutElement: "vec4<f32>"}
	if p.OddN {
		p.OutElement = "f32"
	}
	p.tile()
	p.CheckM, p.CheckN, p.CheckK = k.M%p.TileM != 0, k.N%p.TileN != 0, k.K%p.TileK != 0
	p.assign()

	label := fmt.Sprintf("matmul %dx%dx%d %s%s.%s%s", k.M, k.N, k.K, k.A.Kind, letter(k.A, "nt"), k.B.Kind, letter(k.B, "tn"))
	if r, fits := p.rows(); fits {
		return source("matmul_rows.wgsl", label, fold(ceilDiv(k.N, r.Cols)), 2*float64(k.M)*float64(k.N)*float64(k.K), r)
	}
	if k.Target == CPUTable {
		if t, file, fits := p.table(); fits {
			return t.source(file, label)
		}
	}
	groups := [3]uint32{uint32(ceilDiv(k.N, p.TileN)), uint32(ceilDiv(k.M, p.TileM)), 1}
	return source("matmul.wgsl", label, groups, 2*float64(k.M)*float64(k.N)*float64(k.K), p)
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

// tile chooses how the result is cut up.
func (p *matmulParams) tile() {
	if p.Target != GPU {
		p.RegM, p.RegN = 8, 8
		if p.M%4 != 0 || p.N%4 != 0 || p.K%4 != 0 {
			// Each load of an odd row is four, and each takes its time to compile.
			p.RegM, p.RegN = 4, 4
		}
		p.ThreadsN, p.ThreadsM = 4, 4
		p.TileM, p.TileN, p.TileK = p.RegM*p.ThreadsM, p.RegN*p.ThreadsN, 4
		return
	}
	p.Shared = true
	p.TileM, p.TileN, p.TileK, p.RegM, p.RegN = 64, 64, 16, 4, 8
	if ceilDiv(p.M, 128)*ceilDiv(p.N, 128) >= 96 {
		p.TileM, p.TileN, p.RegM, p.RegN = 128, 128, 8, 8
	}
	p.Threads = (p.TileM / p.RegM) * (p.TileN / p.RegN)
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
