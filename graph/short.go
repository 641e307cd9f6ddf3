package graph

import (
	"math"
	"runtime"
	"sync"

	"bitnet/gpu"
	"bitnet/shaders"
)

// largeMatrix is how many values a matrix has that is worth a form in int8: reading
// fewer takes no time that counts.
const largeMatrix = 1 << 18

// large reports whether a matrix gets a form in int8 for inference.
func (p *Param) large() bool { return !p.IsVector() && p.size() >= largeMatrix && p.Cols%16 == 0 }

// shortened reports whether a float matrix has a form in int8.
func (p *Param) shortened() bool { return !p.ternary && p.stored()[0].codes != nil }

// ReadBytes is how much of a float parameter a pass of inference reads: the form in
// int8 with its scales where there is one. Rows of embeddings do not count.
func (p *Param) ReadBytes() int64 {
	if !p.shortened() {
		return 4 * int64(p.size())
	}
	var n int64
	for _, b := range p.stored() {
		n += b.codes.bytes() + b.scale.bytes()
	}
	return n
}

// writeShort writes the form of a matrix in int8 with a scale for each row:
// scale[r] = max_c |values[r, c]| / 127, code[r, c] = round(values[r, c] / scale[r]).
func (p *Param) writeShort(values []float32) error {
	words := shaders.Words4(p.Cols)
	codes, scale := make([]uint32, p.Rows*words), make([]float32, p.Rows)
	var all sync.WaitGroup
	workers := runtime.GOMAXPROCS(0)
	for w := range workers {
		all.Go(func() {
			for r := w * p.Rows / workers; r < (w+1)*p.Rows/workers; r++ {
				scale[r] = shortRow(codes[r*words:][:words], values[r*p.Cols:][:p.Cols])
			}
		})
	}
	all.Wait()
	if err := p.codes.write(gpu.Bytes(codes)); err != nil {
		return err
	}
	return p.scale.write(gpu.Bytes(scale))
}

// shortRow writes the codes of a row, four a word, and returns its scale.
func shortRow(codes []uint32, row []float32) float32 {
	var bits uint32 // of the largest magnitude: those of a larger number are larger
	for _, v := range row {
		bits = max(bits, math.Float32bits(v)&0x7fffffff)
	}
	most := math.Float32frombits(bits)
	if most == 0 {
		return 0
	}
	per := 127 / most
	for i := range codes {
		v := row[4*i:][:4]
		codes[i] = shortCode(v[0]*per) | shortCode(v[1]*per)<<8 | shortCode(v[2]*per)<<16 | shortCode(v[3]*per)<<24
	}
	return most / 127
}

// shortCode is the byte of round(v), ties to even, for |v| < 128: from 2^23 to 2^24
// floats are the integers, so that adding rounds, and the lowest bits are the result's.
func shortCode(v float32) uint32 {
	const base = 3 << 22
	return math.Float32bits(v+base) & 0xff
}
