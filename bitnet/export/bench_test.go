package export

import (
	"fmt"
	"io"
	"math/rand/v2"
	"testing"

	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/modelfile/gguf"
)

// Bytes are of the weights, 2 bits each.
func BenchmarkWriteTernary(b *testing.B) {
	const rows, cols = 2048, 2048
	rng, masters := rand.New(rand.NewPCG(1, 1)), make([]float32, rows*cols)
	for i := range masters {
		masters[i] = float32(rng.NormFloat64())
	}
	m := modelfile.Quantize(masters, rows, cols)
	for _, t := range []gguf.Type{gguf.F32, gguf.F16, gguf.Q4_0, gguf.TQ1_0, gguf.TQ2_0} {
		b.Run(fmt.Sprint(t), func(b *testing.B) {
			b.SetBytes(rows * cols / 4)
			for b.Loop() {
				if err := writeTernary(io.Discard, m, t, 1); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("packed", func(b *testing.B) {
		b.SetBytes(rows * cols / 4)
		for b.Loop() {
			if err := writePacked(io.Discard, m); err != nil {
				b.Fatal(err)
			}
		}
	})
}
