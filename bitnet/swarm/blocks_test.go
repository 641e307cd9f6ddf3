package swarm

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/cost"
)

func noise(n int, seed uint64, scale float64) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(scale * r.NormFloat64() * math.Exp(2*r.NormFloat64()))
	}
	return v
}

// The formula of bitnet cost counts the bytes that are sent.
func TestCostKnowsTheBytes(t *testing.T) {
	for _, n := range []int{1, 256, 257, 1_000_003} {
		require.EqualValues(t, blocksLen(n), cost.OfSwarm(int64(n), 1, 1, 1, 1, 1).Bytes)
	}
}

// A value and its code differ by half a scale at most, and rest is the difference.
func TestBlocksRoundTrip(t *testing.T) {
	for _, n := range []int{1, 3, 37, 255, 256, 257, 1000} {
		v, rest := noise(n, uint64(n), 1e-3), make([]float32, n)
		b := make([]byte, blocksLen(n))
		require.NoError(t, encodeBlocks(b, v, rest))
		norm, err := checkBlocks(b, n)
		require.NoError(t, err)
		got := make([]float32, n)
		addBlocks(got, b, 1)
		square := 0.0
		for i := range v {
			block := v[i/blockSize*blockSize : min(n, (i/blockSize+1)*blockSize)]
			top := 0.0
			for _, x := range block {
				top = max(top, math.Abs(float64(x)))
			}
			require.InDelta(t, v[i], got[i], top/mostCode/2*1.0001)
			require.InDelta(t, v[i]-got[i], rest[i], 1e-6*top)
			square += float64(got[i]) * float64(got[i])
		}
		require.InEpsilon(t, math.Sqrt(square), norm, 1e-5)
	}
}

// Error feedback: what one change does not say, later ones do. Without it the sum of
// many codes of a value far below the scale would stay zero.
func TestErrorFeedback(t *testing.T) {
	const n, rounds = 512, 200
	v, rest, sum, b := make([]float32, n), make([]float32, n), make([]float32, n), make([]byte, blocksLen(n))
	for i := range v {
		v[i] = 1e-4 * float32(i%7)
	}
	v[0], v[256] = 1, 1 // the scales: 1/127, more than ten times the others
	for range rounds {
		require.NoError(t, encodeBlocks(b, v, rest))
		addBlocks(sum, b, 1)
	}
	for i := range v {
		require.InDelta(t, rounds*float64(v[i]), sum[i], 1.0/mostCode, "value %d", i)
	}
}

func TestBlocksRefuseWhatIsNotFinite(t *testing.T) {
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1))} {
		v := make([]float32, 300)
		v[299] = bad
		require.ErrorIs(t, encodeBlocks(make([]byte, blocksLen(300)), v, make([]float32, 300)), errNotFinite)
		b := make([]byte, blocksLen(300))
		binary.LittleEndian.PutUint32(b[260:], math.Float32bits(bad))
		_, err := checkBlocks(b, 300)
		require.Error(t, err)
	}
	b := make([]byte, blocksLen(300))
	_, err := checkBlocks(b[:len(b)-1], 300)
	require.ErrorContains(t, err, "bytes")
	b[4] = 0x80
	_, err = checkBlocks(b, 300)
	require.ErrorContains(t, err, "code")
	b[4] = 0
	binary.LittleEndian.PutUint32(b, math.Float32bits(-1))
	_, err = checkBlocks(b, 300)
	require.Error(t, err)
}

// The outer step is DiLoCo's, computed here in float64 without int8.
func TestOuterStep(t *testing.T) {
	const n, rounds = 700, 30
	start := noise(n, 1, 1)
	o := newOuter(append([]float32(nil), start...))
	copied := append([]float32(nil), start...)
	w, v := make([]float64, n), make([]float64, n)
	for i := range w {
		w[i] = float64(start[i])
	}
	steps := []int{50, 31, 7}
	rests := [][]float32{make([]float32, n), make([]float32, n), make([]float32, n)}
	for round := range uint64(rounds) {
		var shares []share
		g := make([]float64, n)
		for k, s := range steps {
			d := noise(n, 100*round+uint64(k), 1e-2)
			b := make([]byte, blocksLen(n))
			require.NoError(t, encodeBlocks(b, d, rests[k]))
			shares = append(shares, share{s, b})
			for i := range g {
				g[i] += float64(d[i]) * float64(s) / 88
			}
		}
		change, _, err := o.step(shares, OuterRate, OuterMomentum)
		require.NoError(t, err)
		addBlocks(copied, change, -1)
		for i := range g {
			v[i] = 0.9*v[i] + g[i]
			w[i] -= 0.7 * (g[i] + 0.9*v[i])
		}
	}
	require.Equal(t, o.weights, copied, "workers that apply the changes have the weights to the bit")
	moved, off := 0.0, 0.0
	for i := range w {
		moved += (w[i] - float64(start[i])) * (w[i] - float64(start[i]))
		off += (w[i] - float64(o.weights[i])) * (w[i] - float64(o.weights[i]))
	}
	require.Less(t, math.Sqrt(off), 0.02*math.Sqrt(moved))
}

// Every sample goes to one worker, whatever they do with their parts.
func TestPartsDoNotOverlap(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	var p parts
	has := make([][]part, 5)
	seen := map[int64]bool{}
	const each = 4 // samples of a step
	for range 400 {
		k := r.IntN(len(has))
		switch r.IntN(4) {
		case 0: // it left
			p.free(has[k])
			has[k] = nil
		default:
			const local = 10
			has[k] = p.fill(has[k], local*each)
			sum := int64(0)
			for _, x := range has[k] {
				sum += x.End - x.First
			}
			require.GreaterOrEqual(t, sum, int64(local*each))
			steps := r.Int64N(local + 1)
			left := steps
			for _, x := range has[k] { // as a Trainer takes them
				for ; left > 0 && x.End-x.First >= each; left-- {
					for i := range int64(each) {
						require.False(t, seen[x.First+i], "sample %d twice", x.First+i)
						seen[x.First+i] = true
					}
					x.First += each
				}
			}
			has[k] = used(has[k], each, steps)
		}
	}
	require.Greater(t, len(seen), 2000)
	require.Less(t, float64(p.Next), 1.3*float64(len(seen)), "most samples are given out again when a worker leaves")
}
