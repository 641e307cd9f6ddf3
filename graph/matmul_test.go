package graph

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/shaders"
	"bitnet/shaders/matmul"
)

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

// Every product that the model has, in shapes that fit the tiles and that do not.
func TestMatMul(t *testing.T) {
	f32k, f32 := matmul.Operand{Kind: matmul.F32, AlongK: true}, matmul.Operand{Kind: matmul.F32}
	int8k, int8s := matmul.Operand{Kind: matmul.Int8, AlongK: true}, matmul.Operand{Kind: matmul.Int8}
	ternk, tern := matmul.Operand{Kind: matmul.Ternary, AlongK: true}, matmul.Operand{Kind: matmul.Ternary}
	onEveryDevice(t, func(t *testing.T, dev *gpu.Device, target shaders.Target) {
		shapes := [][3]int{{20, 80, 528}, {5, 7, 9}, {1, 37, 48}, {8, 130, 1040}}
		if foreign(dev, target) {
			shapes = shapes[:2]
		}
		for _, s := range shapes {
			for _, mm := range []matmul.Product{
				{A: int8k, B: ternk, RowScale: true, ColScale: true},
				{A: int8k, B: ternk, RowScale: true, ColScale: true, Residual: true},
				{A: int8k, B: tern, RowScale: true, Accumulate: true},
				{A: int8s, B: int8s, RowScale: true, Accumulate: true},
				{A: f32k, B: tern, ScaleK: true},
				{A: f32, B: int8s, ScaleK: true, Accumulate: true},
				{A: f32k, B: f32k},
				{A: f32k, B: f32},
				{A: f32, B: f32, Accumulate: true},
			} {
				mm.Target, mm.M, mm.N, mm.K = target, s[0], s[1], s[2]
				src := mm.Source()
				t.Run(fmt.Sprintf("%s %v", src.Label, mm.Residual), func(t *testing.T) {
					got, want := product(t, dev, mm, src, nil, nil)
					near(t, "c", want, widen(got), exact32)
				})
			}
		}
	})
}

// product computes a product by a kernel, and in float64. The factors that are
// stored as f32, and the factors over k, go through a function of their own.
func product(t *testing.T, dev *gpu.Device, mm matmul.Product, src shaders.Source, rounded, scaled func(float64) float64) (got []float32, want []float64) {
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
	arena := &arena{name: "test", limit: 1 << 26}
	runCalls(t, dev, arena, mm.Target, tensors, func(e *emitter) { e.run(src, tensors...) }, func() {
		for i := range tensors {
			require.NoError(t, tensors[i].write(gpu.Bytes(contents[i])))
		}
	})
	defer arena.release()
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
	require.NoError(t, tensors[len(tensors)-1].read(gpu.Bytes(got)))
	return got, want
}
