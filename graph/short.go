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
	most := float32(0)
	for _, v := range row {
		most = max(most, v, -v)
	}
	if most == 0 {
		return 0
	}
	per := 127 / most
	for c, v := range row {
		codes[c/4] |= uint32(uint8(int8(math.RoundToEven(float64(v*per))))) << (8 * (c % 4))
	}
	return most / 127
}
