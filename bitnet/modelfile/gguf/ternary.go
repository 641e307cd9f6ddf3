package gguf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

var le = binary.LittleEndian

// AppendTernary appends the row (code-1) * scale as it is stored in type t.
// Codes are 0, 1 and 2, one per element; their number must be a multiple of
// t.Block(). The block types and F16 round the scale to a half: give 1, and
// the scale in full as a tensor of its own.
func AppendTernary(dst []byte, t Type, codes []byte, scale float32) ([]byte, error) {
	switch block := t.Block(); {
	case block == 0:
		return nil, fmt.Errorf("type %v cannot be written", t)
	case len(codes)%block != 0:
		return nil, fmt.Errorf("a row of %d elements is not a multiple of %d, which %v needs", len(codes), block, t)
	}
	d := Half(scale)
	switch t {
	case F32:
		for _, c := range codes {
			dst = le.AppendUint32(dst, math.Float32bits(float32(int(c)-1)*scale))
		}
	case F16:
		for _, c := range codes {
			dst = le.AppendUint16(dst, Half(float32(int(c)-1)*scale))
		}
	case Q4_0:
		for ; len(codes) > 0; codes = codes[32:] {
			dst = le.AppendUint16(dst, d)
			for i := range 16 { // the nibble is the weight + 8
				dst = append(dst, codes[i]+7|(codes[i+16]+7)<<4)
			}
		}
	case TQ2_0:
		for ; len(codes) > 0; codes = codes[256:] {
			for b := range 64 {
				at := b/32*128 + b%32
				dst = append(dst, codes[at]|codes[at+32]<<2|codes[at+64]<<4|codes[at+96]<<6)
			}
			dst = le.AppendUint16(dst, d)
		}
	case TQ1_0:
		for ; len(codes) > 0; codes = codes[256:] {
			for b := range 52 {
				first, stride, digits := tq1(b)
				v := 0
				for n := range 5 {
					v *= 3
					if n < digits {
						v += int(codes[first+n*stride])
					}
				}
				dst = append(dst, byte((v*256+242)/243))
			}
			dst = le.AppendUint16(dst, d)
		}
	}
	return dst, nil
}

// tq1 says which elements byte b of a TQ1_0 block holds as digits in base 3,
// the most significant first; the last 4 bytes have room for one more.
func tq1(b int) (first, stride, digits int) {
	switch {
	case b < 32:
		return b, 32, 5
	case b < 48:
		return 160 + b - 32, 16, 5
	}
	return 240 + b - 48, 4, 4
}

// Ternary reads a row that AppendTernary may have written, of one scale and
// weights -1, 0 and 1 times it, into codes. A row of zeros in F32 or F16 has
// scale 0.
func Ternary(t Type, raw []byte, codes []byte) (scale float32, err error) {
	if t.Block() == 0 || len(codes)%t.Block() != 0 || len(raw) != t.RowBytes(len(codes)) {
		return 0, fmt.Errorf("%d bytes of %v are not a row of %d", len(raw), t, len(codes))
	}
	if t == F32 || t == F16 {
		return plainTernary(t, raw, codes)
	}
	size := t.RowBytes(t.Block())
	for at := 0; at < len(codes); at += t.Block() {
		block := raw[:size]
		raw = raw[size:]
		out := codes[at : at+t.Block()]
		half := block[size-2:]
		switch t {
		case Q4_0:
			half = block[:2]
			for i, b := range block[2:] {
				out[i], out[i+16] = b&15-7, b>>4-7
			}
		case TQ2_0:
			for b, v := range block[:64] {
				first := b/32*128 + b%32
				for n := range 4 {
					out[first+32*n] = v >> (2 * n) & 3
				}
			}
		case TQ1_0:
			for b, v := range block[:52] {
				first, stride, digits := tq1(b)
				for n := range digits {
					out[first+n*stride] = byte(uint16(v) * 3 >> 8)
					v *= 3
				}
			}
		}
		for i, c := range out {
			if c > 2 {
				return 0, fmt.Errorf("element %d is not one of -1, 0 and 1", at+i)
			}
		}
		d := Float(le.Uint16(half))
		if at > 0 && d != scale {
			return 0, fmt.Errorf("the scale %g at element %d is not that of the blocks before it, %g", d, at, scale)
		}
		scale = d
	}
	if !(scale > 0) || math.IsInf(float64(scale), 0) {
		return 0, fmt.Errorf("its scale is %g", scale)
	}
	return scale, nil
}

func plainTernary(t Type, raw, codes []byte) (scale float32, err error) {
	for i := range codes {
		var v float32
		if t == F32 {
			v = math.Float32frombits(le.Uint32(raw[4*i:]))
		} else {
			v = Float(le.Uint16(raw[2*i:]))
		}
		size := float32(math.Abs(float64(v)))
		switch {
		case v-v != 0:
			return 0, fmt.Errorf("element %d is %g", i, v)
		case v != 0 && scale != 0 && size != scale:
			return 0, errors.New("it is not ternary")
		case v != 0:
			scale = size
		}
		codes[i] = 1
		if v > 0 {
			codes[i] = 2
		} else if v < 0 {
			codes[i] = 0
		}
	}
	return scale, nil
}
