package graph

import (
	"fmt"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
	"bitnet/gpu/gputest"
	"bitnet/shaders"
	"bitnet/shaders/matmul"
)

// onEveryDevice runs f on every adapter of this machine, with the kernels of every
// target: those laid out for a GPU are right on lavapipe too. $BITNET_TARGET limits
// the tests to one of them.
func onEveryDevice(t *testing.T, f func(t *testing.T, dev *gpu.Device, target shaders.Target)) {
	for _, dev := range gputest.Every(t) {
		targets := []shaders.Target{shaders.GPU, shaders.CPU}
		if dev.Adapter().Has(gpu.UniformTable) {
			targets = append(targets, shaders.CPUTable)
		}
		for _, target := range targets {
			if only := os.Getenv("BITNET_TARGET"); only != "" && only != target.String() {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s", dev.Adapter().Name, target), func(t *testing.T) { f(t, dev, target) })
		}
	}
}

// foreign reports that kernels of a target are laid out for another kind of
// adapter than this one, on which each takes seconds to compile. There an odd
// and a regular shape of each are enough, unless BITNET_VARIANTS is all.
func foreign(dev *gpu.Device, target shaders.Target) bool {
	a := dev.Adapter()
	return a.Kind == gpu.CPU && target != TargetOf(a) && os.Getenv("BITNET_VARIANTS") != "all"
}

// run is compute, of which the test expects no error.
func (c trial) run(t *testing.T, dev *gpu.Device, target shaders.Target) trialResult {
	t.Helper()
	r, err := c.compute(dev, target)
	require.NoError(t, err)
	return r
}

// fillPoison writes NaN over all of some arenas.
func fillPoison(t *testing.T, arenas ...*arena) {
	t.Helper()
	require.NoError(t, poisonAll(arenas...))
}

// near requires |got - want| <= tol * (largest |want| + 1e-3) everywhere.
func near(t *testing.T, name string, want, got []float64, tol float64) {
	t.Helper()
	var v verdict
	v.near(name, want, got, tol)
	require.NoError(t, v.err)
}

// compareDifferences holds a gradient against differences, as verdict.differences does.
func compareDifferences(t *testing.T, name string, f func([]matrix) []float64, x []matrix, at int, dy, got []float64, tol float64) {
	t.Helper()
	var v verdict
	v.differences(name, f, x, at, dy, got, tol)
	require.NoError(t, v.err)
}

// product is multiply, of which the test expects no error.
func product(t *testing.T, dev *gpu.Device, mm matmul.Product, src shaders.Source, rounded, scaled func(float64) float64) (got []float32, want []float64) {
	t.Helper()
	got, want, err := multiply(dev, mm, src, rounded, scaled)
	require.NoError(t, err)
	return got, want
}

// runCalls is runAlone, of which the test expects no error.
func runCalls(t *testing.T, dev *gpu.Device, a *arena, target shaders.Target, tensors []*Tensor, emit func(*emitter), fill func()) {
	t.Helper()
	require.NoError(t, runAlone(dev, a, target, tensors, emit, func() error { fill(); return nil }))
}
