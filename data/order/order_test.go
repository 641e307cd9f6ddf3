package order

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPermutationIsBijective(t *testing.T) {
	for _, n := range []uint64{1, 2, 3, 4, 5, 7, 8, 9, 37, 255, 256, 257, 1000, 65537} {
		for seed := range uint64(5) {
			p := New(n, seed)
			require.Equal(t, n, p.Len())
			seen := make([]bool, n)
			for i := range n {
				j := p.At(i)
				require.Less(t, j, n)
				require.False(t, seen[j], "n %d seed %d: %d twice", n, seed, j)
				seen[j] = true
			}
		}
	}
}

func TestSeedsDiffer(t *testing.T) {
	a, b := New(1000, 1), New(1000, 2)
	same := 0
	for i := range uint64(1000) {
		if a.At(i) == b.At(i) {
			same++
		}
	}
	require.Less(t, same, 20)
}

// Neighbours must not stay neighbours, and every place must be likely to go
// anywhere: the correlation of i and At(i) is near 0.
func TestShuffles(t *testing.T) {
	const n = 100_000
	p := New(n, 42)
	var sum float64
	near := 0
	for i := range uint64(n) {
		j := p.At(i)
		sum += (float64(i) - n/2) * (float64(j) - n/2)
		if i > 0 {
			if d := int64(j) - int64(p.At(i-1)); d >= -8 && d <= 8 {
				near++
			}
		}
	}
	r := sum / (n * float64(n) * float64(n) / 12)
	require.Less(t, math.Abs(r), 0.02)
	require.Less(t, near, 60) // 16 expected by chance
}

func TestLargeRange(t *testing.T) {
	p := New(1<<62+12345, 7)
	seen := map[uint64]bool{}
	for i := range uint64(1000) {
		j := p.At(i)
		require.Less(t, j, p.Len())
		require.False(t, seen[j])
		seen[j] = true
	}
}

func BenchmarkAt(b *testing.B) {
	p := New(40_000_000, 1)
	b.ReportAllocs()
	var s uint64
	for i := range uint64(b.N) {
		s += p.At(i % p.Len())
	}
	_ = s
}
