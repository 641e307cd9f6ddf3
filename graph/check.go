package graph

import (
	"fmt"
	"math"
	"slices"

	"bitnet/gpu"
	"bitnet/shaders"
)

// Check compares some kernels with float64 on a device.
type Check struct {
	Name string // what is computed, with the shapes
	run  func(dev *gpu.Device, v *verdict) error
}

// Checked is what a Check found.
type Checked struct {
	Name string `json:"name"`
	// Share is the largest difference from float64, of the one that rounding
	// explains: above 1 the kernels are wrong.
	Share    float64  `json:"share"`
	Families []string `json:"families"` // the kernels that ran, by the file of their source
	Fault    string   `json:"fault,omitempty"`
}

// Checks lists a check of every family of kernels that a model needs on an
// adapter: products of all factors, attention, norms, quantisation, loss and
// updates, in shapes that fit the tiles and that do not. Each fills the memory
// around its operands with NaN first. The cheapest come first.
func Checks(a gpu.Adapter) []Check {
	target := TargetOf(a)
	var out []Check
	for _, row := range gradientTable() {
		out = append(out, Check{row.name, func(dev *gpu.Device, v *verdict) error { return row.check(dev, target, v) }})
	}
	return slices.Concat(out, headChecks(target), quantizeChecks(target), rampChecks(target), updateChecks(target), productChecks(a, target))
}

// Run runs the check. The error is that of the device; a wrong result is the
// Fault of what it returns.
func (c Check) Run(dev *gpu.Device) (Checked, error) {
	var v verdict
	err := c.run(dev, &v)
	slices.Sort(v.families)
	out := Checked{Name: c.Name, Share: v.share, Families: slices.Compact(v.families)}
	if v.err != nil {
		out.Fault = v.err.Error()
	}
	if err != nil {
		err = fmt.Errorf("checking %s: %w", c.Name, err)
	}
	return out, err
}

// verdict collects how far results are from their references.
type verdict struct {
	share    float64 // the largest difference, of the one that is allowed
	err      error   // the first that is not allowed
	families []string
}

func (v *verdict) ran(sources ...shaders.Source) {
	for _, s := range sources {
		v.families = append(v.families, s.Family)
	}
}

func (v *verdict) fail(format string, values ...any) {
	if v.err == nil {
		v.err = fmt.Errorf(format, values...)
	}
}

// near allows |got - want| <= tolerance * (largest |want| + 1e-3) everywhere.
func (v *verdict) near(name string, want, got []float64, tolerance float64) {
	if len(got) != len(want) {
		v.fail("%s has %d values, not %d", name, len(got), len(want))
		return
	}
	scale := 1e-3
	for _, w := range want {
		scale = max(scale, math.Abs(w))
	}
	for i := range want {
		share := math.Abs(got[i]-want[i]) / (tolerance * scale)
		if !(share <= 1) {
			v.fail("%s[%d] = %v, want %v (tolerance %.1e of %.3g)", name, i, got[i], want[i], tolerance, scale)
		}
		if share > v.share { // a NaN is a fault, but no number for a report
			v.share = share
		}
	}
}

// sampled is how many elements of a gradient are compared with differences.
const sampled = 40

// differences holds a gradient of sum(dy f(x)) with respect to x[at] against
// central differences in float64, at elements spread over all of it.
func (v *verdict) differences(name string, f func([]matrix) []float64, x []matrix, at int, dy, got []float64, tolerance float64) {
	const h = 1e-5
	if len(got) != len(x[at].v) {
		v.fail("%s has %d values, not %d", name, len(got), len(x[at].v))
		return
	}
	work := append([]matrix(nil), x...)
	work[at].v = append([]float64(nil), x[at].v...)
	n := len(got)
	var want, some []float64
	for s := range min(n, sampled) {
		i := s * n / min(n, sampled)
		old := work[at].v[i]
		work[at].v[i] = old + h
		up := f(work)
		work[at].v[i] = old - h
		down := f(work)
		work[at].v[i] = old
		slope := 0.0
		for j, d := range dy {
			slope += d * (up[j] - down[j]) / (2 * h)
		}
		want, some = append(want, slope), append(some, got[i])
	}
	v.near(name, want, some, tolerance)
}

// check compares an operation, forward and backward, with its reference.
func (row trialRow) check(dev *gpu.Device, target shaders.Target, v *verdict) error {
	got, err := row.test.compute(dev, target)
	if err != nil {
		return err
	}
	v.ran(got.sources...)
	in := append(append([]matrix(nil), row.test.inputs...), row.test.params...)
	v.near("y", row.reference(in), got.y, row.tolerance)
	for i := range row.test.inputs {
		v.differences(fmt.Sprintf("dx%d", i), row.reference, in, i, row.test.dy.v, got.dx[i], 10*row.tolerance)
	}
	for i := range row.test.params {
		at := len(row.test.inputs) + i
		v.differences(fmt.Sprintf("dp%d", i), row.reference, in, at, row.test.dy.v, got.dp[i], 10*row.tolerance)
	}
	return nil
}
