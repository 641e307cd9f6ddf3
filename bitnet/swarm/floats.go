package swarm

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"math"
)

// appendFloats adds values to b as little-endian float32.
func appendFloats(b []byte, values []float32) []byte {
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	return b
}

// readFloats is the reverse of appendFloats; b has 4 len(values) bytes. Values that
// are not finite are refused.
func readFloats(values []float32, b []byte) error {
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
		if !finite32(values[i]) {
			return errors.New("the weights are not finite")
		}
	}
	return nil
}

// hashFloats is the SHA-256 of values as little-endian float32, in hexadecimal.
func hashFloats(values []float32) string {
	h := sha256.New()
	const piece = 16 << 10
	buffer := make([]byte, 0, 4*piece)
	for len(values) > 0 {
		n := min(piece, len(values))
		buffer = appendFloats(buffer[:0], values[:n])
		h.Write(buffer)
		values = values[n:]
	}
	return hex.EncodeToString(h.Sum(nil))
}

// hash is the SHA-256 of b in hexadecimal.
func hash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
