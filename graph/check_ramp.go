package graph

import (
	"fmt"

	"bitnet/gpu"
	"bitnet/shaders"
)

// rampReference is y, dx and dw of a product whose factors are a share r of the way to
// their quantised forms, in float64: gradients go straight through both.
func rampReference(c trial, r float64) (y, dx, dw []float64) {
	x, scale, w, wscale := quantizedFactors(c)
	in := c.inputs[0]
	p := c.params[0]
	tokens, n, k := in.rows, p.rows, in.cols
	a, b := make([]float64, tokens*k), make([]float64, n*k)
	for i := range a {
		a[i] = (1-r)*in.v[i] + r*x[i]*scale[i/k]
	}
	for i := range b {
		b[i] = (1-r)*p.v[i] + r*w[i]*wscale[i/k]
	}
	y, dx, dw = make([]float64, tokens*n), make([]float64, tokens*k), make([]float64, n*k)
	for t := range tokens {
		for m := range n {
			dy := c.dy.v[t*n+m]
			for i := range k {
				y[t*n+m] += a[t*k+i] * b[m*k+i]
				dx[t*k+i] += dy * b[m*k+i]
				dw[m*k+i] += dy * a[t*k+i]
			}
		}
	}
	return y, dx, dw
}

// rampShape is a linear layer of tokens of in features, and rows of each projection.
type rampShape struct {
	tokens, in int
	rows       []int
}

var rampShapes = []rampShape{{1, 1, []int{1}}, {5, 37, []int{3, 4}}, {70, 64, []int{24, 24}}}

// rampShares are a float product, one between, and a quantised one.
var rampShares = []float64{0, 0.3, 1}

// rampTrial is a linear layer at a share of the way to the quantised forms. No value is so
// near the border between two codes that float32 may fall on the other side.
func rampTrial(s rampShape, r float64) trial {
	out := 0
	for _, n := range s.rows {
		out += n
	}
	c := trial{
		batch: 1, seq: s.tokens, inputs: []matrix{random(1, s.tokens, s.in)}, params: []matrix{random(2, out, s.in)}, ternary: s.rows,
		dy: random(3, s.tokens, out), ramp: r,
		build: func(g *Graph, x []*Tensor, p []*Param) *Tensor { return g.RampLinear(g.Ramp(x[0]), p[0], nil) },
	}
	_, scale, _, wscale := quantizedFactors(c)
	for i, v := range c.inputs[0].v {
		c.inputs[0].v[i] = offBorder(v, scale[i/s.in])
	}
	for i, v := range c.params[0].v {
		c.params[0].v[i] = offBorder(v, wscale[i/s.in])
	}
	return c
}

func rampChecks(target shaders.Target) (out []Check) {
	for _, s := range rampShapes {
		out = append(out, Check{fmt.Sprintf("quantising gradually %dx%d", s.tokens, s.in), func(dev *gpu.Device, v *verdict) error { return checkRamp(dev, target, s, v) }})
	}
	return out
}

func checkRamp(dev *gpu.Device, target shaders.Target, s rampShape, v *verdict) error {
	for _, r := range rampShares {
		c := rampTrial(s, r)
		got, err := c.compute(dev, target)
		if err != nil {
			return err
		}
		v.ran(got.sources...)
		y, dx, dw := rampReference(c, r)
		at := fmt.Sprintf(" at %g", r)
		v.near("y"+at, y, got.y, 3*exact32)
		v.near("dx"+at, dx, got.dx[0], 3*exact32)
		v.near("dw"+at, dw, got.dp[0], 3*exact32)
	}
	return nil
}
