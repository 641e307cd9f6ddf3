package graph

import (
	"fmt"
	"math"
	"math/bits"

	"bitnet/gpu"
	"bitnet/shaders/optimizer"
)

// momentBytes is the alignment of parameters whose moments have 8 bits: no block of
// moments belongs to two parameters.
const momentBytes = 4 * optimizer.MomentBlock

// moment8 is one moment of a parameter in 8 bits, by blocks of
// optimizer.MomentBlock: a value is its code's times the scale of its block. The
// tensors are of the range that the parameter lies in.
type moment8 struct {
	codes, scales *Tensor // [1, n/4] and [1, blocks]
	first         int     // of the parameter's values in the range, a multiple of the block
	root          bool    // the codes are of the square root: the second moment
}

// moment is the 8-bit form of a slot, nil where there is none.
func (p *Param) moment(s Slot) *moment8 {
	switch s {
	case FirstMoment:
		return p.m8
	case SecondMoment:
		return p.r8
	}
	return nil
}

// placeMoments lays out the moments in 8 bits, range by range.
func (ps *Params) placeMoments() error {
	at, list := 0, storedOf(ps.Trained())
	for _, r := range ps.ranges() {
		blocks := optimizer.AdamW8{AdamW: optimizer.AdamW{N: r.n}}.Blocks()
		var placed [4]*Tensor
		for i, a := range []*arena{ps.ms, ps.vs} {
			placed[2*i] = tensor(a.name, U32, 1, r.n/4)
			placed[2*i+1] = tensor(a.name+" scales", F32, 1, blocks)
			for _, t := range placed[2*i : 2*i+2] {
				if err := a.append(t); err != nil {
					return err
				}
			}
		}
		for n := 0; n < r.n; at++ {
			p := list[at]
			p.m8 = &moment8{placed[0], placed[1], n, false}
			p.r8 = &moment8{placed[2], placed[3], n, true}
			n += int(roundUp(p.master.bytes(), ps.align()) / 4)
		}
	}
	return nil
}

// align is the alignment of parameters in their arenas.
func (ps *Params) align() int64 {
	if ps.storage == ForTraining8 {
		return momentBytes
	}
	return alignment
}

// levels is the number of levels of codes.
func (q *moment8) levels() int {
	if q.root {
		return 7
	}
	return 6
}

// read gets values, starting with number first of the parameter.
func (q *moment8) read(first int, values []float32) error {
	if len(values) == 0 {
		return nil
	}
	first += q.first
	from, to := first/4, (first+len(values)+3)/4
	codes := make([]byte, 4*(to-from))
	if err := q.codes.readAt(4*int64(from), codes); err != nil {
		return err
	}
	const block = optimizer.MomentBlock
	scales := make([]float32, (first+len(values)-1)/block-first/block+1)
	if err := q.scales.readAt(4*int64(first/block), gpu.Bytes(scales)); err != nil {
		return err
	}
	for i := range values {
		scale := scales[(first+i)/block-first/block]
		values[i] = q.decode(codes[first+i-4*from]) * scale
		if q.root {
			values[i] *= values[i]
		}
	}
	return nil
}

// write sets all values of the parameter. What was read gives the same codes.
func (q *moment8) write(values []float32) error {
	const block = optimizer.MomentBlock
	codes := make([]byte, roundUp(int64(len(values)), 4))
	scales := make([]float32, 0, len(values)/block+1)
	for begin := 0; begin < len(values); begin += block {
		part := values[begin:min(begin+block, len(values))]
		var most float64
		for _, v := range part {
			x := math.Abs(float64(v))
			if math.IsNaN(x) || math.IsInf(x, 0) || q.root && v < 0 {
				return fmt.Errorf("%g is no value of an optimizer's moment", v)
			}
			most = max(most, x)
		}
		if q.root {
			most = math.Sqrt(most)
		}
		scale := float32(most)
		scales = append(scales, scale)
		for i, v := range part {
			codes[begin+i] = q.encode(v, scale)
		}
	}
	if err := q.codes.writeAt(int64(q.first), codes); err != nil {
		return err
	}
	return q.scales.writeAt(4*int64(q.first/block), gpu.Bytes(scales))
}

// decode is the value of a code where the block's scale is 1, as
// shaders/optimizer/adamw_8bit.wgsl defines it; of the root for the second moment.
func (q *moment8) decode(code byte) float32 {
	levels := q.levels()
	k := int(code)
	sign := float32(1)
	if !q.root && k > 127 {
		k, sign = k-128, -1
	}
	i := bits.Len(uint(k+1)) - 1
	switch {
	case k == 0:
		return 0
	case i > levels:
		return sign
	}
	all := float64(int(1) << i)
	x := math.Ldexp(0.125+0.875*(float64(k+1)-all+0.5)/all, 3*(i-levels))
	return sign * float32(x)
}

// encode is the code of a value: that of the place which it lies in, as
// shaders/optimizer/adamw_8bit.wgsl finds it. A second moment above 0 does not become
// 0, which would make its step huge.
func (q *moment8) encode(v, scale float32) byte {
	levels, x := q.levels(), math.Abs(float64(v))
	if q.root {
		x = math.Sqrt(x)
	}
	if scale > 0 {
		x = min(x/float64(scale), 1)
	}
	if x == 0 {
		return 0
	}
	_, exponent := math.Frexp(x)            // x = f 2^exponent, f in [1/2, 1)
	d := min(max(-exponent, 0)/3, levels-1) // x lies in [8^-(d+1), 8^-d), or below all levels
	i := levels - d
	all := float64(int(1) << i)
	scaled := math.Ldexp(x, 3*d)
	k := int(all) - 1 + int(min(max((scaled-0.125)/0.875*all, 0), all-1))
	switch {
	case x > 1-0.21875/float64(int(1)<<levels): // nearer to 1 than to the highest place
		k = 2<<levels - 1
	case d < levels-1 || scaled >= 0.171875: // half of the lowest value
	case q.root:
		k = 1
	default:
		return 0
	}
	if !q.root && v < 0 {
		k |= 128
	}
	return byte(k)
}
