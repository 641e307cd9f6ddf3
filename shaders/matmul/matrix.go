package matmul

import "bitnet/shaders"

type matrixOperand struct {
	operand
	Stride  int   // elements from one row of the tile to the next
	PerUnit int   // elements of a row that an invocation loads at once; not along k, four of four rows
	Units   int   // of a tile
	Batch   []int // numbers of the units that are loaded together
	Rounds  bool  // whether there is more than one batch
}

type matrixParams struct {
	params
	A, B        matrixOperand
	Operands    []matrixOperand
	Shape       shaders.MatrixShape
	Integer     bool
	Lift        bool // whether there is a gain
	Direct      bool // the units load and store the result themselves
	Subgroup    int  // invocations
	PinSubgroup bool
	SubM, SubN  int // subgroups of a workgroup
}

func (t matrixParams) Subgroups() int  { return t.SubM * t.SubN }
func (t matrixParams) PatchWidth() int { return t.RegN * t.Shape.N }
func (t matrixParams) PatchSize() int  { return t.Shape.M * t.PatchWidth() }

// MatrixVariants are the kernels for matrix units, the default first: int8 by
// int8 or ternary in integers, exactly, and everything else with both operands
// rounded to f16 and sums in f32. There are none where the units or the shapes do
// not fit.
func (k Product) MatrixVariants(units shaders.MatrixUnits) []shaders.Variant {
	if !k.plain() {
		return nil
	}
	t := matrixParams{params: params{Product: k, Shared: true}}
	var ok bool
	if k.integer() {
		t.Integer = true
		t.Shape, ok = units.Shape("i8", "i32")
	}
	if !ok {
		t.Integer = false
		if t.Shape, ok = units.Shape("f16", "f32"); !ok {
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
	var out []shaders.Variant
	for _, s := range k.squares(t.Integer) {
		if s.k%t.Shape.K != 0 {
			continue
		}
		t.layOut(s)
		groups := t.groups()
		if t.memory() <= units.WorkgroupMemory && t.Threads <= shaders.MaxThreads && max(groups[0], groups[1]) <= shaders.MaxGroups {
			name := t.Shape.Component + " units, " + s.String()
			out = append(out, k.variant(name, k.String()+" "+t.Shape.Component, "matrix.wgsl", groups, t))
		}
	}
	return out
}

// layOut cuts the result up into squares, one a subgroup.
func (t *matrixParams) layOut(s squares) {
	k := t.Product
	t.SubM, t.SubN = s.subM, s.subN
	t.RegM, t.RegN = s.m/t.Shape.M, s.n/t.Shape.N
	t.TileM, t.TileN, t.TileK = s.subM*s.m, s.subN*s.n, s.k
	t.Threads = t.Subgroups() * t.Subgroup
	t.CheckM, t.CheckN, t.CheckK = k.M%t.TileM != 0, k.N%t.TileN != 0, k.K%t.TileK != 0
	t.Lift = !t.Integer && k.Gain != 0 && k.Gain != 1
	t.Direct = !t.Integer && !t.Lift && !k.RowScale && !k.ColScale && !k.Residual && !t.CheckM && !t.CheckN
	t.setOperands()
	if t.OddN = k.N%4 != 0; t.OddN || t.Direct {
		t.OutType = "f32"
	} else {
		t.OutType = "vec4<f32>"
	}
	// Rows are 16 bytes longer than they need be, so that they begin in different banks.
	stride := s.k + 8
	if t.Integer {
		stride = s.k/4 + 4
	}
	t.A, t.B = t.operand(t.params.A, stride), t.operand(t.params.B, stride)
	t.Operands = []matrixOperand{t.A, t.B}
}

func (t *matrixParams) operand(o operand, stride int) matrixOperand {
	m := matrixOperand{operand: o, Stride: stride, PerUnit: 4}
	if t.Integer && o.Kind == Ternary && o.AlongK {
		m.PerUnit = 16
	}
	m.Units = o.Tile * t.TileK / m.PerUnit
	loads := 1
	if !o.AlongK {
		m.Units, loads = o.Tile*t.TileK/16, 4
	}
	most := 8 // loads in flight, of four words
	if t.Integer {
		most = 16 // of one
	}
	m.Batch = t.batch(m.Units/t.Threads, most/loads)
	m.Rounds = m.Units != len(m.Batch)*t.Threads
	return m
}

// batch numbers the rounds that are unrolled together: a divisor of all rounds,
// and no more than most. Small subgroups are those of a CPU, whose compiler takes
// long for long code.
func (t *matrixParams) batch(rounds, most int) []int {
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

// StoreBatch numbers the stores of a row of matrices that are unrolled together.
func (t matrixParams) StoreBatch() []int { return t.batch(t.PatchSize()/4/t.Subgroup, 4) }

// memory is what a workgroup needs, in bytes.
func (t *matrixParams) memory() int {
	size := 2
	if t.Integer {
		size = 4
	}
	n := size * (t.A.Tile*t.A.Stride + t.B.Tile*t.B.Stride)
	if !t.Direct {
		n += 4 * t.Subgroups() * t.PatchSize()
	}
	return n
}
