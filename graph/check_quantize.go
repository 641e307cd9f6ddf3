package graph

import (
	"math"
	"slices"

	"bitnet/gpu"
	"bitnet/shaders"
)

// linearTrial is a BitLinear of 64 inputs and two projections of 24 outputs, with
// gradients of a size. No value is so near the border between two codes that
// float32 may fall on the other side.
func linearTrial(size float64) trial {
	const tokens, in, out = 70, 64, 48
	dy := random(3, tokens, out)
	for i := range dy.v {
		dy.v[i] = float64(float32(dy.v[i] * size / tokens))
	}
	c := trial{
		batch: 1, seq: tokens, inputs: []matrix{random(1, tokens, in)}, params: []matrix{random(2, out, in)}, ternary: []int{out / 2, out / 2},
		dy:    dy,
		build: func(g *Graph, x []*Tensor, p []*Param) *Tensor { return g.BitLinear(g.Quantize(x[0]), p[0], nil) },
	}
	_, scale, _, wscale := quantizedFactors(c)
	for i, v := range c.inputs[0].v {
		c.inputs[0].v[i] = offBorder(v, scale[i/in])
	}
	for i, v := range c.params[0].v {
		c.params[0].v[i] = offBorder(v, wscale[i/in])
	}
	return c
}

// offBorder moves a value a little where v/scale is about half way between two integers.
func offBorder(v, scale float64) float64 {
	if x := math.Abs(v / scale); math.Abs(x-math.Floor(x)-0.5) < 2e-3 {
		return float64(float32(v * (1 + 4e-3/x)))
	}
	return v
}

// quantizeChecks compare a BitLinear with its float64 form in each precision of
// the gradients: codes of activations, ternary weights, and the codes or the
// rounding of gradients, however small these are.
func quantizeChecks(target shaders.Target) (out []Check) {
	for name, size := range map[string]float64{"BitLinear": 1, "BitLinear with gradients of 1e-7": 1e-7} {
		out = append(out, Check{name, func(dev *gpu.Device, v *verdict) error { return checkLinear(dev, target, linearTrial(size), v) }})
	}
	return out
}

func checkLinear(dev *gpu.Device, target shaders.Target, c trial, v *verdict) error {
	exact := func(x float64) float64 { return x }
	full, err := c.compute(dev, target)
	if err != nil {
		return err
	}
	v.ran(full.sources...)
	v.near("y", linearForward(c), full.y, exact32)
	want := roundedGradients(c, exact, exact)
	v.near("dx", want[0], full.dx[0], 3*exact32)
	v.near("dw", want[1], full.dp[0], 3*exact32)
	for precision, want := range map[Precision][2][]float64{
		Mixed:            roundedGradients(c, half, half),
		IntegerGradients: integerGradients(c),
	} {
		c.precision = precision
		got, err := c.compute(dev, target)
		if err != nil {
			return err
		}
		v.ran(got.sources...)
		if !slices.Equal(full.y, got.y) {
			v.fail("the forward pass in %s is not that of f32", precision)
		}
		for i, g := range [][2][]float64{{got.dx[0], full.dx[0]}, {got.dp[0], full.dp[0]}} {
			// Rounding moves gradients away from float32; the kernels must land where it leads.
			off, from := difference(want[i], g[0]), difference(want[i], g[1])
			share := off / (from / 5)
			if !(share < 1) {
				v.fail("gradient %d in %s is %.2g from the rounded reference, which is %.2g from float32", i, precision, off, from)
			}
			if share > v.share {
				v.share = share
			}
		}
	}
	return nil
}

// linearForward is the product of the codes, scaled.
func linearForward(c trial) []float64 {
	q, scale, w, wscale := quantizedFactors(c)
	in := c.inputs[0].cols
	var y []float64
	for t := range c.inputs[0].rows {
		for n := range c.params[0].rows {
			sum := 0.0
			for k := range in {
				sum += q[t*in+k] * w[n*in+k]
			}
			y = append(y, sum*scale[t]*wscale[n])
		}
	}
	return y
}

// half rounds to float16.
func half(v float64) float64 {
	quantum := math.Exp2(max(math.Floor(math.Log2(math.Abs(v))), -14) - 10)
	r := math.RoundToEven(v/quantum) * quantum
	switch {
	case v == 0 || math.IsInf(v, 0):
		return v
	case math.Abs(r) >= 65536:
		return math.Inf(int(math.Copysign(1, v)))
	}
	return r
}

// difference is the mean square difference of two results, of the first one's size.
func difference(want, got []float64) float64 {
	size, d := 0.0, 0.0
	for i := range want {
		size += want[i] * want[i]
		d += (got[i] - want[i]) * (got[i] - want[i])
	}
	return math.Sqrt(d / size)
}

// quantizedFactors are what BitLinear computes with: int8 codes and scale of
// each token, ternary weights and the scale of each output feature.
func quantizedFactors(c trial) (q, scale, w, wscale []float64) {
	x, m := c.inputs[0], c.params[0]
	q, scale, w, wscale = make([]float64, len(x.v)), make([]float64, x.rows), make([]float64, len(m.v)), make([]float64, m.rows)
	for t := range x.rows {
		row := x.v[t*x.cols:][:x.cols]
		for _, v := range row {
			scale[t] = max(scale[t], math.Abs(v)/127)
		}
		for i, v := range row {
			q[t*x.cols+i] = math.RoundToEven(v / scale[t])
		}
	}
	first := 0
	for _, rows := range c.ternary {
		sum := 0.0
		part := m.v[first*m.cols:][:rows*m.cols]
		for _, v := range part {
			sum += math.Abs(v)
		}
		mean := sum / float64(len(part))
		for i, v := range part {
			w[first*m.cols+i] = max(min(math.RoundToEven(v/mean), 1), -1)
		}
		for r := range rows {
			wscale[first+r] = mean
		}
		first += rows
	}
	return q, scale, w, wscale
}

// roundedGradients are both gradients with a rounding for each of the float factors.
func roundedGradients(c trial, forInput, forWeight func(float64) float64) [2][]float64 {
	q, scale, w, wscale := quantizedFactors(c)
	tokens, in, out := c.inputs[0].rows, c.inputs[0].cols, c.params[0].rows
	dx, dw := make([]float64, tokens*in), make([]float64, out*in)
	lift := float64(gain(tokens))
	for t := range tokens {
		for n := range out {
			dy := c.dy.v[t*out+n]
			a := forInput(dy*wscale[n]*16*lift) / (16 * lift)
			b := forWeight(dy*scale[t]*64*lift) / (64 * lift)
			for k := range in {
				dx[t*in+k] += a * w[n*in+k]
				dw[n*in+k] += b * q[t*in+k]
			}
		}
	}
	return [2][]float64{dx, dw}
}

// integerGradients are those of integer codes of the gradient.
func integerGradients(c trial) [2][]float64 {
	_, scale, _, wscale := quantizedFactors(c)
	tokens, out := c.inputs[0].rows, c.params[0].rows
	byRow, byCol := make([]float64, tokens), make([]float64, out)
	for t := range tokens {
		for n := range out {
			byRow[t] = max(byRow[t], math.Abs(c.dy.v[t*out+n]*wscale[n])/127)
			byCol[n] = max(byCol[n], math.Abs(c.dy.v[t*out+n]*scale[t])/127)
		}
	}
	coded := c
	coded.dy.v = make([]float64, len(c.dy.v))
	exact := func(v float64) float64 { return v }
	for t := range tokens {
		for n := range out {
			coded.dy.v[t*out+n] = math.RoundToEven(c.dy.v[t*out+n]*wscale[n]/byRow[t]) * byRow[t] / wscale[n]
		}
	}
	dx := roundedGradients(coded, exact, exact)[0]
	for t := range tokens {
		for n := range out {
			coded.dy.v[t*out+n] = math.RoundToEven(c.dy.v[t*out+n]*scale[t]/byCol[n]) * byCol[n] / scale[t]
		}
	}
	return [2][]float64{dx, roundedGradients(coded, exact, exact)[1]}
}
