package modelfile

import (
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"bitnet/bitnet/modelfile/gguf"
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
		Quantize(w, rows, cols)
	}
}

// Bytes are of the packed matrix.
func BenchmarkReadPacked(b *testing.B) {
	c, m := smallModel(true)
	c.HiddenSize, c.IntermediateSize = 512, 2048
	shape := []int{c.IntermediateSize / 4, c.HiddenSize}
	for _, s := range c.Tensors() {
		m[s.Name] = rawTensor{"F32", s.Shape, make([]byte, 4*s.Shape[0]*append(s.Shape, 1)[1])}
		if s.Ternary {
			m[s.Name] = rawTensor{"U8", []int{s.Shape[0] / 4, s.Shape[1]}, make([]byte, s.Shape[0]/4*s.Shape[1])}
			m[ScaleName(s.Name)] = rawTensor{"F32", []int{1}, float32Bytes(1)}
		}
	}
	dir := b.TempDir()
	writeModel(b, dir, c, m)
	b.SetBytes(int64(3 * shape[0] * shape[1]))
	for b.Loop() {
		if _, err := ReadWeights(dir); err != nil {
			b.Fatal(err)
		}
	}
}

// Bytes are of the weights, 2 bits each.
func BenchmarkWriteTernary(b *testing.B) {
	const rows, cols = 2048, 2048
	m := Quantize(benchMasters(rows, cols), rows, cols)
	for _, t := range []gguf.Type{gguf.F32, gguf.F16, gguf.Q4_0, gguf.TQ1_0, gguf.TQ2_0} {
		b.Run(fmt.Sprint(t), func(b *testing.B) {
			b.SetBytes(rows * cols / 4)
			for b.Loop() {
				if err := m.writeGGUF(io.Discard, t); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("packed", func(b *testing.B) {
		b.SetBytes(rows * cols / 4)
		for b.Loop() {
			if err := m.writePacked(io.Discard); err != nil {
				b.Fatal(err)
			}
		}
	})
}
