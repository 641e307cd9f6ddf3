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
// fraction.
func half(h uint16) float32 {
	sign := uint32(h>>15) << 31
	exponent := uint32(h>>10) & 31
	fraction := uint32(h & 0x3ff)
	switch exponent {
	case 0: // zero or subnormal: fraction * 2^-24
		return math.Float32frombits(math.Float32bits(float32(fraction)*0x1p-24) | sign)
	case 31: // infinity or NaN
		return math.Float32frombits(sign | 255<<23 | fraction<<13)
	}
	return math.Float32frombits(sign | (exponent+127-15)<<23 | fraction<<13)
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
