package swarm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// blockSize is how many values share a scale. A change of n values takes
// n + 4 ceil(n/blockSize) bytes: for each block a float32 scale, then an int8 for
// each value; value = scale * code.
const blockSize = 256

// mostCode is the largest code; -128 is never used, so that codes are symmetric.
const mostCode = 127

// blocksLen is the number of bytes of a change of n values.
func blocksLen(n int) int { return n + 4*((n+blockSize-1)/blockSize) }

// errNotFinite says that weights hold NaN or infinity.
var errNotFinite = errors.New("the change of the weights is not finite")

// encodeBlocks writes values + rest into out in int8 by block, scale = absmax/127,
// and leaves in rest what the codes do not say (error feedback: Seide et al. 2014).
// out has blocksLen(len(values)) bytes.
func encodeBlocks(out []byte, values, rest []float32) error {
	for len(values) > 0 {
		n := min(blockSize, len(values))
		v, r, codes := values[:n], rest[:n], out[4:4+n]
		var top float32
		for i := range v {
			r[i] = v[i] + r[i]
			if !finite32(r[i]) {
				return errNotFinite
			}
			top = max(top, float32(math.Abs(float64(r[i]))))
		}
		scale := top / mostCode
		if scale == 0 || !finite32(1/scale) {
			scale = 0
		}
		binary.LittleEndian.PutUint32(out, math.Float32bits(scale))
		for i := range r {
			code := float32(0)
			if scale > 0 {
				code = float32(min(max(math.RoundToEven(float64(r[i]/scale)), -mostCode), mostCode))
			}
			codes[i] = byte(int8(code))
			r[i] -= float32(scale * code) // the conversion keeps the product from being fused
		}
		values, rest, out = values[n:], rest[n:], out[4+n:]
	}
	return nil
}

// checkBlocks looks at a change that came from outside: n values, all finite. It
// gives the Euclidean norm.
func checkBlocks(b []byte, n int) (norm float64, err error) {
	if len(b) != blocksLen(n) {
		return 0, fmt.Errorf("the change has %d bytes, and one of %d values has %d", len(b), n, blocksLen(n))
	}
	sum := 0.0
	for n > 0 {
		k := min(blockSize, n)
		scale := math.Float32frombits(binary.LittleEndian.Uint32(b))
		if !finite32(scale) || scale < 0 || !finite32(scale*mostCode) {
			return 0, errors.New("the change is not finite")
		}
		squares := 0
		for _, c := range b[4 : 4+k] {
			code := int(int8(c))
			if code < -mostCode {
				return 0, errors.New("the change has a code that is never used")
			}
			squares += code * code
		}
		sum += float64(scale) * float64(scale) * float64(squares)
		b, n = b[4+k:], n-k
	}
	return math.Sqrt(sum), nil
}

// addBlocks adds factor times a checked change to values.
func addBlocks(values []float32, b []byte, factor float32) {
	for len(values) > 0 {
		n := min(blockSize, len(values))
		scale := math.Float32frombits(binary.LittleEndian.Uint32(b))
		for i, c := range b[4 : 4+n] {
			// Without the conversions some processors fuse product and sum, and
			// weights would differ between machines.
			v := float32(scale * float32(int8(c)))
			values[i] += float32(factor * v)
		}
		values, b = values[n:], b[4+n:]
	}
}

func finite32(v float32) bool { return v-v == 0 }
