package modelfile_test

import (
	"math/rand/v2"
	"testing"

	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/modelfile/modelfiletest"
)

func benchMasters(rows, cols int) []float32 {
	rng, w := rand.New(rand.NewPCG(1, 1)), make([]float32, rows*cols)
	for i := range w {
		w[i] = float32(rng.NormFloat64())
	}
	return w
}

func BenchmarkQuantize(b *testing.B) {
	const rows, cols = 2048, 2048
	w := benchMasters(rows, cols)
	b.SetBytes(4 * rows * cols)
	for b.Loop() {
		modelfile.Quantize(w, rows, cols)
	}
}

// Bytes are of the packed matrix.
func BenchmarkReadPacked(b *testing.B) {
	c, m := modelfiletest.Small(true)
	c.HiddenSize, c.IntermediateSize = 512, 2048
	shape := []int{c.IntermediateSize / 4, c.HiddenSize}
	for _, s := range c.Tensors() {
		m[s.Name] = modelfiletest.NewTensor("F32", s.Shape, make([]byte, 4*s.Shape[0]*append(s.Shape, 1)[1]))
		if s.Ternary {
			m[s.Name] = modelfiletest.NewTensor("U8", []int{s.Shape[0] / 4, s.Shape[1]}, make([]byte, s.Shape[0]/4*s.Shape[1]))
			m[modelfile.ScaleName(s.Name)] = modelfiletest.NewTensor("F32", []int{1}, modelfiletest.Floats(1))
		}
	}
	dir := b.TempDir()
	modelfiletest.Write(b, dir, c, m)
	b.SetBytes(int64(3 * shape[0] * shape[1]))
	for b.Loop() {
		if _, err := modelfile.ReadWeights(dir); err != nil {
			b.Fatal(err)
		}
	}
}
