package bench

import (
	"fmt"
	"math"
)

// faster is how many times more than its arithmetic the time of a step may grow from
// one point to the next before it is reported: timings of short steps differ by as
// much as this from one another.
const faster = 1.25

// newCurve fits the exponents of a curve and looks for what grows too fast.
func newCurve(axis string, points []ScalePoint) Curve {
	c := Curve{Axis: axis, Points: points, Findings: []string{}}
	var x, time, flops, all, activations, memory []float64
	for _, p := range points {
		all = append(all, float64(p.Value))
		activations = append(activations, float64(p.Activations))
		memory = append(memory, float64(p.Memory))
		if p.measured() {
			x, time, flops = append(x, float64(p.Value)), append(time, p.StepMS), append(flops, p.Flops)
		}
	}
	c.Exponents = Exponents{exponent(x, time), exponent(x, flops), exponent(all, activations), exponent(all, memory)}
	for i := 1; i < len(points); i++ {
		c.Findings = append(c.Findings, findings(axis, points[i-1], points[i])...)
	}
	return c
}

// exponent is the slope of the line that fits the logarithms best (least squares);
// 0 where there are fewer than two points.
func exponent(x, y []float64) float64 {
	n := float64(len(x))
	if n < 2 {
		return 0
	}
	var sx, sy, sxx, sxy float64
	for i := range x {
		lx, ly := math.Log(x[i]), math.Log(y[i])
		sx, sy, sxx, sxy = sx+lx, sy+ly, sxx+lx*lx, sxy+lx*ly
	}
	return (n*sxy - sx*sy) / (n*sxx - sx*sx)
}

// findings say what grows too fast between two points: time faster than arithmetic,
// or activations faster than the value. Every axis makes activations at most linear.
func findings(axis string, a, b ScalePoint) []string {
	var out []string
	values := float64(b.Value) / float64(a.Value)
	if a.measured() && b.measured() {
		if time, flops := b.StepMS/a.StepMS, b.Flops/a.Flops; time > faster*flops {
			out = append(out, fmt.Sprintf("from %s %d to %d the time grows %.1f times, its arithmetic %.1f times", axis, a.Value, b.Value, time, flops))
		}
	}
	// Places in memory are rounded up to what adapters can bind.
	const rounding = 1.02
	if grown := float64(b.Activations) / float64(a.Activations); grown > rounding*values {
		out = append(out, fmt.Sprintf("from %s %d to %d the memory of activations grows %.1f times, the value %.1f times", axis, a.Value, b.Value, grown, values))
	}
	return out
}
