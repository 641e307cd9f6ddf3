package tune

import (
	"fmt"
	"math"
	"math/rand/v2"

	"bitnet/gpu"
	"bitnet/shaders"
	"bitnet/shaders/matmul"
)

// scratch are made-up operands of a product.
type scratch struct {
	buffers map[string]*gpu.Buffer // by the names of the bindings
	start   []uint32               // what the result holds before
}

func newScratch(dev *gpu.Device, mm matmul.Product, t operands) (*scratch, error) {
	// Lifted values must stay in the range of float16.
	amplitude := 1 / max(mm.Gain, 1)
	s := &scratch{buffers: map[string]*gpu.Buffer{}}
	n := mm.Count()
	if mm.Accumulate {
		s.start = t.fill(n*mm.M*mm.N, t.floats(amplitude))
	} else { // so that it shows what a kernel does not write
		s.start = t.fill(n*mm.M*mm.N, func() uint32 { return math.Float32bits(float32(math.NaN())) })
	}
	for _, o := range []struct {
		name string
		used bool
		data func() []uint32
	}{
		{"a", true, func() []uint32 { return t.operand(mm.A, n, mm.M, mm.K, amplitude) }},
		{"b", true, func() []uint32 { return t.operand(mm.B, n, mm.N, mm.K, 1) }},
		{"scale", mm.ScaleK, func() []uint32 { return t.fill(mm.K, t.floats(1)) }},
		{"rows", mm.RowScale, func() []uint32 { return t.fill(mm.M, t.floats(1)) }},
		{"cols", mm.ColScale, func() []uint32 { return t.fill(mm.N, t.floats(1)) }},
		{"residual", mm.Residual, func() []uint32 { return t.fill(n*mm.M*mm.N, t.floats(amplitude)) }},
		{"c", true, func() []uint32 { return s.start }},
	} {
		if !o.used {
			continue
		}
		data := o.data()
		b, err := dev.NewBuffer("tuning "+o.name, 4*int64(len(data)))
		if err == nil {
			s.buffers[o.name] = b
			err = b.Write(0, gpu.Bytes(data))
		}
		if err != nil {
			s.release()
			return nil, err
		}
	}
	return s, nil
}

func (s *scratch) release() {
	for _, b := range s.buffers {
		b.Release()
	}
}

// dispatch compiles a kernel for the operands.
func (s *scratch) dispatch(w stopwatch, src shaders.Source) (gpu.Dispatch, error) {
	var buffers []*gpu.Buffer
	for _, name := range src.Names {
		buffers = append(buffers, s.buffers[name])
	}
	return w.dispatch(src, buffers...)
}

// result runs a product once.
func (s *scratch) result(dev *gpu.Device, d gpu.Dispatch) ([]float32, error) {
	c := s.buffers["c"]
	if err := c.Write(0, gpu.Bytes(s.start)); err != nil {
		return nil, err
	}
	p, err := dev.NewProgram("checking", []gpu.Dispatch{d})
	if err != nil {
		return nil, err
	}
	defer p.Release()
	if err := p.Run(); err != nil {
		return nil, err
	}
	out := make([]float32, len(s.start))
	return out, c.Read(0, gpu.Bytes(out))
}

// differ says how the result of a product differs from what it has to be. It is
// "" if the difference is no more than rounding; rounded is that to float16.
func differ(mm matmul.Product, rounded bool, want, got []float32) string {
	largest := 127 * mm.K // sum of products of integers
	if mm.B.Kind == matmul.Int8 {
		largest *= 127
	}
	exact := mm.Whole() && largest < 1<<24
	size := 0.0
	for _, w := range want {
		size = max(size, math.Abs(float64(w)))
	}
	tolerance := 1e-4 * size
	if rounded {
		tolerance = 1e-3 * size
	}
	for i, w := range want {
		g := got[i]
		if exact && math.Float32bits(g) != math.Float32bits(w) || !(math.Abs(float64(g)-float64(w)) <= tolerance) {
			return fmt.Sprintf("c[%d, %d] is %v and not %v", i/mm.N, i%mm.N, g, w)
		}
	}
	return ""
}

// operands makes up factors of products, always the same ones.
type operands struct{ rng *rand.Rand }

func newOperands() operands { return operands{rand.New(rand.NewPCG(1, 2))} }

// operand makes up n factors, as they are stored.
func (t operands) operand(o matmul.Operand, n, outer, k int, amplitude float32) []uint32 {
	rows, cols := k, outer
	if o.AlongK {
		rows, cols = outer, k
	}
	rows *= n
	switch o.Kind {
	case matmul.Int8: // from -127 to 127
		return t.fill(rows*shaders.Words4(cols), func() (w uint32) {
			for range 4 {
				w = w<<8 | uint32(uint8(t.rng.IntN(255)-127))
			}
			return w
		})
	case matmul.Ternary:
		return t.fill(rows*shaders.Words16(cols), func() (w uint32) {
			for range 16 {
				w = w<<2 | uint32(t.rng.IntN(3))
			}
			return w
		})
	}
	return t.fill(rows*cols, t.floats(amplitude))
}

// floats are spread evenly from -amplitude to amplitude, and float16 holds them.
func (t operands) floats(amplitude float32) func() uint32 {
	return func() uint32 { return math.Float32bits(float32(t.rng.IntN(2047)-1023) / 1024 * amplitude) }
}

// fill repeats a block of words whose number is a prime, so that no two rows are the same.
func (t operands) fill(n int, word func() uint32) []uint32 {
	const block = 65521
	out := make([]uint32, n)
	for i := range out[:min(n, block)] {
		out[i] = word()
	}
	for at := block; at < n; at += block {
		copy(out[at:], out[:block])
	}
	return out
}
