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
	each((rows+3)/4, func(block int) {
		first := 4 * block
		if first+4 <= rows {
			sumFour(sums[first:], w[first*cols:], cols)
			return
		}
		for r := first; r < rows; r++ {
			for _, v := range w[r*cols:][:cols] {
				sums[r] += math.Abs(float64(v))
			}
		}
	})
	sum := 0.0
	for _, v := range sums {
		sum += v
	}
	return QuantizeWith(w, rows, cols, float32(max(sum/float64(len(w)), 1e-5)))
}

// sumFour sums the magnitudes of each of the four rows of cols values that w begins
// with. The sums do not wait for each other, as the additions of one row do.
func sumFour(sums []float64, w []float32, cols int) {
	r0, r1, r2, r3 := w[:cols], w[cols:][:cols], w[2*cols:][:cols], w[3*cols:][:cols]
	var s0, s1, s2, s3 float64
	for k := range r0 {
		s0 += math.Abs(float64(r0[k]))
		s1 += math.Abs(float64(r1[k]))
		s2 += math.Abs(float64(r2[k]))
		s3 += math.Abs(float64(r3[k]))
	}
	sums[0], sums[1], sums[2], sums[3] = s0, s1, s2, s3
}

// QuantizeWith is Quantize with a scale that is given.
func QuantizeWith(w []float32, rows, cols int, scale float32) *TernaryMatrix {
	m := NewTernaryMatrix(rows, cols)
	m.Scale = scale
	s := 1 / m.Scale
	stride := m.Stride()
	each(rows, func(r int) {
		row, out := w[r*cols:][:cols], m.Codes[r*stride:][:stride]
		whole := cols / 4
		for i := range whole {
			v := row[4*i:][:4]
			out[i] = code(v[0]*s) | code(v[1]*s)<<2 | code(v[2]*s)<<4 | code(v[3]*s)<<6
		}
		if whole < stride {
			last := [4]byte{1, 1, 1, 1}
			for i, v := range row[4*whole:] {
				last[i] = code(v * s)
			}
			out[whole] = last[0] | last[1]<<2 | last[2]<<4 | last[3]<<6
		}
	})
	return m
}

// code is clamp(round(v), -1, 1) + 1 with ties to even: a magnitude of more than a
// half is 1. There is no branch that depends on a weight.
func code(v float32) byte {
	const half = 0x3f000000 // the bits of 0.5: those of larger numbers are larger
	bits := math.Float32bits(v)
	one := (half - bits&0x7fffffff) >> 31
	return byte(1 + one - 2*(one&(bits>>31)))
}
