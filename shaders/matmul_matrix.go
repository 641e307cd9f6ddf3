package shaders

import "fmt"

// MatrixShape is what an adapter's matrix units multiply at once: [M, K] by
// [K, N] in a component type ("f16", "i8") with sums in a result type ("f32", "i32").
type MatrixShape struct {
	M, N, K           int
	Component, Result string
}

func (s MatrixShape) String() string {
	return fmt.Sprintf("%dx%dx%d %s to %s", s.M, s.N, s.K, s.Component, s.Result)
}

// MatrixUnits are those of an adapter.
type MatrixUnits struct {
	Shapes                   []MatrixShape
	SubgroupMin, SubgroupMax int  // invocations
	SizeControl              bool // whether a kernel can ask for a size in between
	WorkgroupMemory          int  // bytes
}

// Has reports whether the units multiply one type into another.
func (u MatrixUnits) Has(component, result string) bool {
	_, ok := u.shape(component, result)
	return ok
}

// shape finds the largest product of two types.
func (u MatrixUnits) shape(component, result string) (MatrixShape, bool) {
	var best MatrixShape
	for _, s := range u.Shapes {
		if s.Component == component && s.Result == result && s.M*s.N*s.K > best.M*best.N*best.K {
			best = s
		}
	}
	return best, best.M > 0
}

type matrixOperand struct {
	matmulOperand
	Outer, Stride int // of the tile in workgroup memory: rows, and elements from one to the next
	PerUnit       int // elements of a row that an invocation loads at once; not along k, four of four rows
	Units         int // of a tile
	Batch         []int
	Rounds        bool // whether one batch is not all
}

type matmulMatrix struct {
	matmulParams
	A, B        matrixOperand
	Operands    []matrixOperand
	Shape       MatrixShape
	Integer     bool
	Lift        bool // whether there is a gain
	Direct      bool // the units load and store the result themselves
	Subgroup    int  // invocations
	PinSubgroup bool
	SubM, SubN  int // subgroups of a workgroup
}

func (t matmulMatrix) Subgroups() int  { return t.SubM * t.SubN }
func (t matmulMatrix) PatchWidth() int { return t.RegN * t.Shape.N }
func (t matmulMatrix) PatchSize() int  { return t.Shape.M * t.PatchWidth() }

// integer says whether both factors are whole numbers, with nothing past the
// end of a row that counts.
func (k MatMul) integer() bool {
	return k.Whole() && (k.B.Kind == Int8 || !k.B.AlongK || k.K%16 == 0)
}

// MatrixSource specialises the kernel for matrix units: int8 by int8 or ternary
// in integers, exactly, and everything else with both operands rounded to f16 and
// sums in f32. It reports false where the units or the shapes do not fit.
func (k MatMul) MatrixSource(units MatrixUnits) (Source, bool) {
	all := k.MatrixVariants(units)
	if len(all) == 0 {
		return Source{}, false
	}
	return all[0].Source(), true
}

// MatrixVariants are the kernels for matrix units that compute the same, in
// other layouts; MatrixSource is the first.
func (k MatMul) MatrixVariants(units MatrixUnits) []Variant {
	t := matmulMatrix{matmulParams: matmulParams{MatMul: k, Shared: true}}
	var ok bool
	if k.integer() {
		t.Integer = true
		t.Shape, ok = units.shape("i8", "i32")
	}
	if !ok {
		t.Integer = false
		if t.Shape, ok = units.shape("f16", "f32"); !ok {
			return nil
		}
	}
	t.Subgroup = units.SubgroupMax
	if units.SubgroupMin != units.SubgroupMax {
		if !units.SizeControl {
			return nil
		}
		t.PinSubgroup = true
	}
	if t.Subgroup == 0 || 32%t.Shape.M != 0 || 32%t.Shape.N != 0 || 64%t.Shape.K != 0 {
		return nil
	}
	var out []Variant
	for _, s := range k.squares(t.Integer) {
		if s.k%t.Shape.K != 0 {
			continue
		}
		t.layOut(s)
		groups := t.groups()
		if t.memory() <= units.WorkgroupMemory && t.Threads <= maxThreads && max(groups[0], groups[1]) <= maxGroups {
			name := t.Shape.Component + " units, " + s.String()
			out = append(out, k.variant(name, k.String()+" "+t.Shape.Component, "matmul_matrix.wgsl", groups, t))
		}
	}
	return out
}

// layOut cuts the result up into squares, one a subgroup.
func (t *matmulMatrix) layOut(s squares) {
	k := t.MatMul
	t.SubM, t.SubN = s.subM, s.subN
	t.RegM, t.RegN = s.m/t.Shape.M, s.n/t.Shape.N
	t.TileM, t.TileN, t.TileK = s.subM*s.m, s.subN*s.n, s.k
	t.Threads = t.Subgroups() * t.Subgroup
	t.CheckM, t.CheckN, t.CheckK = k.M%t.TileM != 0, k.N%t.TileN != 0, k.K%t.TileK != 0
	t.Lift = !t.Integer && k.Gain != 0 && k.Gain != 1
	t.Direct = !t.Integer && !t.Lift && !k.RowScale && !k.ColScale && !k.Residual && !t.CheckM && !t.CheckN
	t.assign()
	if t.OddN = k.N%4 != 0; t.OddN || t.Direct {
		t.OutElement = "f32"
	} else {
		t.OutElement = "vec4<f32>"
	}
	// Rows are 16 bytes longer than they need be, so that they begin in different banks.
	stride := s.k + 8
	if t.Integer {
		stride = s.k/4 + 4
	}
	t.A, t.B = t.operand(t.matmulParams.A, t.TileM, stride), t.operand(t.matmulParams.B, t.TileN, stride)
	t.Operands = []matrixOperand{t.A, t.B}
}

func (t *matmulMatrix) operand(o matmulOperand, outer, stride int) matrixOperand {
	m := matrixOperand{matmulOperand: o, Outer: outer, Stride: stride, PerUnit: 4}
	if t.Integer && o.Kind == Ternary && o.AlongK {
		m.PerUnit = 16
	}
	m.Units = outer * t.TileK / m.PerUnit
	loads := 1
	if !o.AlongK {
		m.Units, loads = outer*t.TileK/16, 4
	}
	most := 8 // loads in flight, of four words
	if t.Integer {
		most = 16 // of one
	}
	m.Batch = t.batch(m.Units/t.Threads, most/loads)
	m.Rounds = m.Units != len(m.Batch)*t.Threads
	return m
}

// batch numbers what is unrolled of a number of rounds: as many as most, and
// a divisor of the rounds. Small subgroups are those of a CPU, whose compiler
// takes long for long code.
func (t *matmulMatrix) batch(rounds, most int) []int {
	if t.Subgroup < 32 {
		most = min(most, 2)
	}
	n := 1
	for 2*n <= most && rounds%(2*n) == 0 {
		n *= 2
	}
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// StoreBatch is what is unrolled of writing a row of matrices.
func (t matmulMatrix) StoreBatch() []int { return t.batch(t.PatchSize()/4/t.Subgroup, 4) }

// memory is what a workgroup needs, in bytes.
func (t *matmulMatrix) memory() int {
	size := 2
	if t.Integer {
		size = 4
	}
	n := size * (t.A.Outer*t.A.Stride + t.B.Outer*t.B.Stride)
	if !t.Direct {
		n += 4 * t.Subgroups() * t.PatchSize()
	}
	return n
}
