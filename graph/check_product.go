package graph

import (
	"fmt"
	"math"
	"slices"

	"bitnet/gpu"
	"bitnet/shaders"
	"bitnet/shaders/matmul"
)

var (
	floatRows, floatCols = matmul.Operand{Kind: matmul.F32, AlongK: true}, matmul.Operand{Kind: matmul.F32}
	int8Rows, int8Cols   = matmul.Operand{Kind: matmul.Int8, AlongK: true}, matmul.Operand{Kind: matmul.Int8}
	ternRows, ternCols   = matmul.Operand{Kind: matmul.Ternary, AlongK: true}, matmul.Operand{Kind: matmul.Ternary}
)

// modelProducts are the products that the model has, without shapes.
var modelProducts = []matmul.Product{
	{A: int8Rows, B: ternRows, RowScale: true, ColScale: true},
	{A: int8Rows, B: ternRows, RowScale: true, ColScale: true, Residual: true},
	{A: int8Rows, B: ternCols, RowScale: true, Accumulate: true},
	{A: int8Cols, B: int8Cols, RowScale: true, Accumulate: true},
	{A: floatRows, B: ternCols, ScaleK: true},
	{A: floatCols, B: int8Cols, ScaleK: true, Accumulate: true},
	{A: floatRows, B: floatRows},
	{A: floatRows, B: int8Rows, ColScale: true},
	{A: floatRows, B: floatCols},
	{A: floatCols, B: floatCols, Accumulate: true},
}

// liftedProducts are those of gradients that are lifted into the range of float16.
var liftedProducts = []matmul.Product{
	{A: floatRows, B: ternCols, ScaleK: true, Gain: 1 << 20},
	{A: floatCols, B: int8Cols, ScaleK: true, Accumulate: true, Gain: 1.0 / 1024},
}

// coarse rounds to eight bits after the point: values below 8 are then exact in f16.
func coarse(v float64) float64 { return math.Round(v*256) / 256 }

// power rounds to a power of two, which changes no mantissa.
func power(v float64) float64 { return math.Exp2(math.Round(v)) }

// productChecks compare every product of the model, on matrix units with factors
// that float16 holds. The default kernels come first; a GPU has the other variants
// after them, which take a CPU seconds each to compile.
func productChecks(a gpu.Adapter, target shaders.Target) (out []Check) {
	units := UnitsOf(a)
	exact := func(v float64) float64 { return v }
	var others []Check
	for i, s := range [][3]int{{20, 80, 528}, {160, 200, 272}, {5, 7, 9}, {8, 130, 1040}} {
		add := func(mm matmul.Product, variants []shaders.Variant, rounded, scaled func(float64) float64) {
			for j, x := range variants {
				c := Check{fmt.Sprintf("%s, %s", mm, x.Name), func(dev *gpu.Device, v *verdict) error {
					return checkProduct(dev, mm, x.Source(), rounded, scaled, v)
				}}
				if j == 0 {
					out = append(out, c)
				} else if a.Kind != gpu.CPU && i < 2 {
					others = append(others, c)
				}
			}
		}
		for k, mm := range slices.Concat(modelProducts, liftedProducts) {
			mm.Target, mm.M, mm.N, mm.K = target, s[0], s[1], s[2]
			small := func(v float64) float64 { return coarse(v) / float64(max(mm.Gain, 1)) }
			if k < len(modelProducts) {
				add(mm, mm.Variants(units.WorkgroupMemory), exact, exact)
			}
			if len(units.Shapes) > 0 {
				add(mm, mm.MatrixVariants(units), small, power)
			}
			if target == shaders.GPU && a.Has(gpu.PackedDot) {
				add(mm, mm.PackedVariants(units.WorkgroupMemory), small, power)
			}
		}
	}
	return append(out, others...)
}

func checkProduct(dev *gpu.Device, mm matmul.Product, src shaders.Source, rounded, scaled func(float64) float64, v *verdict) error {
	v.ran(src)
	got, want, err := multiply(dev, mm, src, rounded, scaled)
	if err == nil {
		v.near("c", want, widen(got), exact32)
	}
	return err
}

// factor makes an operand of a product: its values, as (outer, k) says, and its words as stored.
func factor(seed uint64, o matmul.Operand, outer, k int, rounded func(float64) float64) (func(i, k int) float64, *Tensor, []uint32) {
	rows, cols := k, outer
	if o.AlongK {
		rows, cols = outer, k
	}
	m := random(seed, rows, cols)
	t := tensor(o.Kind.String(), map[matmul.Kind]DType{matmul.F32: F32, matmul.Int8: Int8, matmul.Ternary: Ternary}[o.Kind], rows, cols)
	words := make([]uint32, t.bytes()/4)
	for i, v := range m.v {
		r, c := i/cols, i%cols
		switch o.Kind {
		case matmul.F32:
			if rounded != nil {
				m.v[i] = rounded(v)
				v = m.v[i]
			}
			copy(words[i:], asWords([]float32{float32(v)}))
		case matmul.Int8:
			m.v[i] = float64(int(max(min(v*60, 127), -127)))
			if r == 0 {
				m.v[i] = 127 // the largest sum there can be
			}
			words[r*shaders.Words4(cols)+c/4] |= uint32(uint8(int8(m.v[i]))) << (8 * (c % 4))
		case matmul.Ternary:
			m.v[i] = float64(int(max(min(v*2, 1), -1)))
			if r < 2 {
				m.v[i] = float64(1 - 2*r)
			}
			words[r*shaders.Words16(cols)+c/16] |= uint32(int(m.v[i])+1) << (2 * (c % 16))
		}
	}
	return func(i, k int) float64 {
		if o.AlongK {
			return m.v[i*cols+k]
		}
		return m.v[k*cols+i]
	}, t, words
}

func asWords(v []float32) []uint32 {
	out := make([]uint32, len(v))
	copy(gpu.Bytes(out), gpu.Bytes(v))
	return out
}

// multiply computes a product by a kernel, and in float64. The factors that are
// stored as f32, and the factors over k, go through a function of their own.
func multiply(dev *gpu.Device, mm matmul.Product, src shaders.Source, rounded, scaled func(float64) float64) (got []float32, want []float64, err error) {
	a, at, aw := factor(1, mm.A, mm.M, mm.K, rounded)
	b, bt, bw := factor(2, mm.B, mm.N, mm.K, rounded)
	tensors, contents := []*Tensor{at, bt}, [][]uint32{aw, bw}
	add := func(seed uint64, used bool, rows, cols int, rounded func(float64) float64) matrix {
		m := random(seed, rows, cols)
		for i, v := range m.v {
			if rounded != nil {
				m.v[i] = rounded(v)
			}
		}
		if used {
			tensors = append(tensors, tensor("v", F32, rows, cols))
			contents = append(contents, asWords(m.f32()))
		}
		return m
	}
	scale := add(3, mm.ScaleK, 1, mm.K, scaled)
	rows := add(4, mm.RowScale, 1, mm.M, nil)
	cols := add(5, mm.ColScale, 1, mm.N, nil)
	residual := add(6, mm.Residual, mm.M, mm.N, nil)
	c := add(7, true, mm.M, mm.N, nil)
	arena := &arena{name: "check", limit: 1 << 26}
	defer arena.release()
	err = runAlone(dev, arena, mm.Target, tensors, func(e *emitter) { e.run(src, tensors...) }, func() error {
		for i := range tensors {
			if err := tensors[i].write(gpu.Bytes(contents[i])); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, nil, err
	}
	for m := range mm.M {
		for n := range mm.N {
			sum := 0.0
			for k := range mm.K {
				p := a(m, k) * b(n, k)
				if mm.ScaleK {
					p *= scale.v[k]
				}
				sum += p
			}
			if mm.RowScale {
				sum *= rows.v[m]
			}
			if mm.ColScale {
				sum *= cols.v[n]
			}
			if mm.Residual {
				sum += residual.v[m*mm.N+n]
			}
			if mm.Accumulate {
				sum += c.v[m*mm.N+n]
			}
			want = append(want, sum)
		}
	}
	got = make([]float32, mm.M*mm.N)
	return got, want, tensors[len(tensors)-1].read(gpu.Bytes(got))
}

// runAlone places tensors, poisons them, fills the inputs and runs.
func runAlone(dev *gpu.Device, a *arena, target shaders.Target, tensors []*Tensor, emit func(*emitter), fill func() error) error {
	for _, x := range tensors {
		if err := a.append(x); err != nil {
			return err
		}
	}
	if err := a.allocate(dev); err != nil {
		return err
	}
	if err := poisonAll(a); err != nil {
		return err
	}
	if err := fill(); err != nil {
		return err
	}
	e := &emitter{target: target}
	if emit(e); e.err != nil {
		return e.err
	}
	p, err := assemble(dev, "check", e.calls)
	if err != nil {
		return err
	}
	defer p.Release()
	if err := p.Run(); err != nil {
		return err
	}
	return dev.Wait()
}
