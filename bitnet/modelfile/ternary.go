package modelfile

import "math"

// TernaryMatrix is a quantised projection [Rows, Cols]: value = (code-1) * Scale.
type TernaryMatrix struct {
	Rows, Cols int
	// Codes are 2 bits each, row-major: element k of a row is in byte k/4 at
	// bits 2*(k%4), value w+1. Each row starts on a byte and takes
	// (Cols+3)/4 bytes; the padding past Cols is code 1, a zero.
	Codes []byte
	Scale float32 // mean |w| of the masters
}

// Stride is the bytes of a row.
func (m *TernaryMatrix) Stride() int { return (m.Cols + 3) / 4 }

// Row writes the weights -1, 0 and 1 of a row into dst, which has Cols elements.
func (m *TernaryMatrix) Row(row int, dst []int8) {
	codes := m.Codes[row*m.Stride():][:m.Stride()]
	for k := range dst[:m.Cols] {
		dst[k] = int8(codes[k/4]>>(2*(k%4))&3) - 1
	}
}

// Floats writes all weights, scaled, row by row.
func (m *TernaryMatrix) Floats(dst []float32) {
	each(m.Rows, func(r int) {
		row := make([]int8, m.Cols)
		m.Row(r, row)
		for k, v := range row {
			dst[r*m.Cols+k] = float32(v) * m.Scale
		}
	})
}

func NewTernaryMatrix(rows, cols int) *TernaryMatrix {
	m := &TernaryMatrix{Rows: rows, Cols: cols}
	m.Codes = make([]byte, rows*m.Stride())
	return m
}

// SetRow stores the codes of a row, 0 to 2, one per element.
func (m *TernaryMatrix) SetRow(row int, codes []byte) {
	out := m.Codes[row*m.Stride():][:m.Stride()]
	whole := len(codes) / 4
	for i := range whole {
		c := codes[4*i:][:4]
		out[i] = c[0] | c[1]<<2 | c[2]<<4 | c[3]<<6
	}
	if whole < len(out) {
		last := [4]byte{1, 1, 1, 1}
		copy(last[:], codes[4*whole:])
		out[whole] = last[0] | last[1]<<2 | last[2]<<4 | last[3]<<6
	}
}

// Quantize rounds masters w [rows, cols] to ternary, as the training kernels
// do (absmean, arXiv 2402.17764): s = max(mean|w|, 1e-5), the weights are
// clamp(round(w / s), -1, 1) with ties to even. The mean is summed in float64.
func Quantize(w []float32, rows, cols int) *TernaryMatrix {
	sums := make([]float64, rows)
	each(rows, func(r int) {
		for _, v := range w[r*cols:][:cols] {
			sums[r] += math.Abs(float64(v))
		}
	})
	sum := 0.0
	for _, v := range sums {
		sum += v
	}
	return QuantizeWith(w, rows, cols, float32(max(sum/float64(len(w)), 1e-5)))
}

// QuantizeWith is Quantize with a scale that is given.
func QuantizeWith(w []float32, rows, cols int, scale float32) *TernaryMatrix {
	m := NewTernaryMatrix(rows, cols)
	m.Scale = scale
	s := 1 / m.Scale
	each(rows, func(r int) {
		codes := make([]byte, cols)
		for k, v := range w[r*cols:][:cols] {
			// From 2^23 to 2^24 floats are the integers, so that adding rounds,
			// to even, and the bits count: no branch that depends on a weight.
			const base = 3 << 22
			codes[k] = byte(math.Float32bits(min(max(v*s, -1), 1)+base) - math.Float32bits(base) + 1)
		}
		m.SetRow(r, codes)
	})
	return m
}
