package cluster

import (
	"fmt"
	"hash/crc32"
	"math"
)

// Format is how values travel.
type Format int

const (
	Float32  Format = iota
	BFloat16        // half the bytes: 8 bits of mantissa; sums are in float32
)

// Formats are the names that ParseFormat takes.
func Formats() []string { return []string{"f32", "bf16"} }

func (f Format) String() string { return Formats()[f] }

// Bytes is how many bytes a value takes.
func (f Format) Bytes() int { return [...]int{4, 2}[f] }

// ParseFormat is the reverse of String.
func ParseFormat(name string) (Format, error) {
	for i, n := range Formats() {
		if n == name {
			return Format(i), nil
		}
	}
	return 0, fmt.Errorf("%q: choose f32 or bf16", name)
}

// toBFloat16 rounds to the nearest, ties to even; NaN stays NaN.
func toBFloat16(v float32) uint16 {
	b := math.Float32bits(v)
	if v != v {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

func fromBFloat16(b uint16) float32 { return math.Float32frombits(uint32(b) << 16) }

func encode(to []uint16, from []float32) {
	to = to[:len(from)]
	for i, v := range from {
		to[i] = toBFloat16(v)
	}
}

func decode(to []float32, from []uint16) {
	from = from[:len(to)]
	for i := range to {
		to[i] = fromBFloat16(from[i])
	}
}

// tile is how many values are summed at once: they stay in the nearest cache.
const tile = 2048

// sumFloats sets to to the sum of all lists, added in their order. One of them
// may be to itself.
func sumFloats(to []float32, lists [][]float32) {
	var sum [tile]float32
	for at := 0; at < len(to); at += tile {
		n := min(tile, len(to)-at)
		s := sum[:n]
		copy(s, lists[0][at:])
		for _, l := range lists[1:] {
			l = l[at:][:n]
			for i, v := range l {
				s[i] += v
			}
		}
		copy(to[at:], s)
	}
}

// sumBFloat16 is sumFloats over rounded values; to gets the rounded sum.
func sumBFloat16(to []uint16, lists [][]uint16) {
	var sum [tile]float32
	for at := 0; at < len(to); at += tile {
		n := min(tile, len(to)-at)
		s := sum[:n]
		decode(s, lists[0][at:])
		for _, l := range lists[1:] {
			l = l[at:][:n]
			for i, v := range l {
				s[i] += fromBFloat16(v)
			}
		}
		encode(to[at:], s)
	}
}

// Checksum continues a checksum over values: equal ones have equal bits.
func Checksum(sum uint64, values []float32) uint64 {
	return sum<<1 ^ sum>>63 ^ uint64(crc32.Checksum(raw(values), table))
}

var table = crc32.MakeTable(crc32.Castagnoli)
