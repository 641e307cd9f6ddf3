package safetensors

import (
	"encoding/binary"
	"math"
	"unsafe"
)

var le = binary.LittleEndian

var littleEndian = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// floats decodes raw, elements of a float dtype, into the start of dst.
func floats[T float32 | float64](dst []T, dtype string, raw []byte) {
	dst = dst[:len(raw)/int(widths[dtype])]
	switch dtype {
	case "F64":
		for i := range dst {
			dst[i] = T(math.Float64frombits(le.Uint64(raw[8*i:])))
		}
	case "F32":
		for i := range dst {
			dst[i] = T(math.Float32frombits(le.Uint32(raw[4*i:])))
		}
	case "BF16": // the upper half of a float32
		for i := range dst {
			dst[i] = T(math.Float32frombits(uint32(le.Uint16(raw[2*i:])) << 16))
		}
	case "F16":
		for i := range dst {
			dst[i] = T(half(le.Uint16(raw[2*i:])))
		}
	}
}

// half widens an IEEE 754 binary16: sign, 5 bits of exponent (bias 15), 10 of
// fraction. Its bits, moved to the places of a float32 (bias 127), say a number
// that is 2^112 too small, subnormals included.
func half(h uint16) float32 {
	bits := uint32(h&0x7fff) << 13
	v := math.Float32bits(math.Float32frombits(bits) * 0x1p112)
	if bits >= 31<<23 { // infinity or NaN
		v = bits | 255<<23
	}
	return math.Float32frombits(v | uint32(h>>15)<<31)
}

// ints decodes raw, elements of an integer dtype, into the start of dst. U64
// beyond the range of int64 comes out negative.
func ints(dst []int64, dtype string, raw []byte) {
	dst = dst[:len(raw)/int(widths[dtype])]
	switch dtype {
	case "I64", "U64":
		for i := range dst {
			dst[i] = int64(le.Uint64(raw[8*i:]))
		}
	case "I32":
		for i := range dst {
			dst[i] = int64(int32(le.Uint32(raw[4*i:])))
		}
	case "U32":
		for i := range dst {
			dst[i] = int64(le.Uint32(raw[4*i:]))
		}
	case "I16":
		for i := range dst {
			dst[i] = int64(int16(le.Uint16(raw[2*i:])))
		}
	case "U16":
		for i := range dst {
			dst[i] = int64(le.Uint16(raw[2*i:]))
		}
	case "I8":
		for i := range dst {
			dst[i] = int64(int8(raw[i]))
		}
	case "U8", "BOOL":
		for i := range dst {
			dst[i] = int64(raw[i])
		}
	}
}

// bytesOf is the memory of v.
func bytesOf(v []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(v))), 4*len(v))
}
