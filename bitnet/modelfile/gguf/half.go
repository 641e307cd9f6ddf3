package gguf

import "math"

// Half rounds to an IEEE 754 binary16, ties to even: 1 bit of sign, 5 of
// exponent (bias 15), 10 of fraction. What is too large becomes infinite.
func Half(f float32) uint16 {
	bits := math.Float32bits(f)
	sign := uint16(bits >> 16 & 0x8000)
	bits &= 0x7fffffff
	switch {
	case bits > 0x7f800000:
		return sign | 0x7e00 // NaN
	case bits >= 0x477ff000: // 65520, half way from the largest to 2^16
		return sign | 0x7c00
	case bits < 0x38800000: // below 2^-14: a multiple of 2^-24
		return sign | uint16(math.RoundToEven(float64(math.Float32frombits(bits))*0x1p24))
	}
	bits += 0xfff + bits>>13&1 // round; a carry goes into the exponent
	return sign | uint16(bits>>13-(127-15)<<10)
}

// Float widens an IEEE 754 binary16.
func Float(h uint16) float32 {
	bits := uint32(h&0x7fff) << 13
	v := math.Float32bits(math.Float32frombits(bits) * 0x1p112) // from bias 127 to 15, subnormals too
	if bits >= 31<<23 {                                         // infinity or NaN
		v = bits | 255<<23
	}
	return math.Float32frombits(v | uint32(h>>15)<<31)
}
