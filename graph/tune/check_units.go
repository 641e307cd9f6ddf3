package tune

import (
	"errors"
	"fmt"
	"strings"

	"bitnet/gpu"
	"bitnet/graph"
	"bitnet/shaders"
	"bitnet/shaders/matmul"
)

// Fault is a feature of an adapter that computes wrong results.
type Fault struct {
	Feature string // its WebGPU name
	What    string // a line that says what went wrong
}

// checkShapes are [M, N, K] of the products that are checked: with parts of
// tiles on all sides, and in the tiles of large products.
var checkShapes = [][3]int{{160, 200, 272}, {1280, 1296, 64}}

// CheckUnits multiplies made-up operands on the matrix units of a device and by
// packed dot products, and compares the results with plain float32: a model must
// not learn from kernels that no test has run on this adapter and driver. After a
// fault that lost the device, the remaining features are unchecked.
func CheckUnits(dev *gpu.Device) ([]Fault, error) {
	return checkUnits(dev, checkShapes, func(s shaders.Source) shaders.Source { return s })
}

type unitCheck struct {
	stopwatch
	operands
}

// checkUnits lets a test choose the shapes and alter the kernels.
func checkUnits(dev *gpu.Device, shapes [][3]int, alter func(shaders.Source) shaders.Source) ([]Fault, error) {
	limits := graph.LimitsOf(dev.Adapter())
	t := unitCheck{stopwatch{dev: dev}, newOperands()}
	var faults []Fault
	for _, feature := range []string{gpu.SubgroupMatrix, gpu.PackedDot} {
		what, err := t.checkFeature(feature, limits, shapes, alter)
		if what != "" {
			faults = append(faults, Fault{feature, what})
		}
		if err != nil {
			if errors.Is(err, gpu.ErrDeviceLost) && len(faults) > 0 {
				err = nil
			}
			return faults, err
		}
	}
	return faults, nil
}

// checkFeature says what is wrong with one feature, and nothing where the
// adapter does not have it.
func (t unitCheck) checkFeature(feature string, limits graph.Limits, shapes [][3]int, alter func(shaders.Source) shaders.Source) (string, error) {
	plain, alongK := matmul.Operand{Kind: matmul.F32}, matmul.Operand{Kind: matmul.F32, AlongK: true}
	codes, codesAlongK := matmul.Operand{Kind: matmul.Int8}, matmul.Operand{Kind: matmul.Int8, AlongK: true}
	ternary, ternaryAlongK := matmul.Operand{Kind: matmul.Ternary}, matmul.Operand{Kind: matmul.Ternary, AlongK: true}
	for _, shape := range shapes {
		for _, mm := range []matmul.Product{
			{A: codesAlongK, B: ternaryAlongK, RowScale: true, ColScale: true, Residual: true},
			{A: codesAlongK, B: ternary, RowScale: true, Accumulate: true},
			{A: codes, B: codes, RowScale: true, Accumulate: true},
			{A: alongK, B: ternary, ScaleK: true, Gain: 1024},
			{A: plain, B: codes, ScaleK: true, Accumulate: true},
			{A: alongK, B: alongK},
			{A: plain, B: plain, Accumulate: true},
		} {
			mm.Target, mm.M, mm.N, mm.K = shaders.GPU, shape[0], shape[1], shape[2]
			var variants []shaders.Variant
			switch {
			case feature == gpu.SubgroupMatrix:
				variants = mm.MatrixVariants(limits.Units)
			case limits.PackedDot:
				variants = mm.PackedVariants(limits.Units.WorkgroupMemory)
			}
			if len(variants) == 0 {
				continue
			}
			src := alter(variants[0].Source())
			what, err := t.compare(mm, src)
			if err != nil && errors.Is(err, gpu.ErrDeviceLost) {
				what = "the device is lost"
			} else if err != nil {
				return "", err
			}
			if what != "" {
				return fmt.Sprintf("%s (%s): %s", src.Label, src.Variant, what), err
			}
		}
	}
	return "", nil
}

// compare says how a kernel's result differs from that of the plain kernel. A
// kernel that does not compile differs.
func (t unitCheck) compare(mm matmul.Product, src shaders.Source) (string, error) {
	s, err := newScratch(t.dev, mm, t.operands)
	if err != nil {
		return "", err
	}
	defer s.release()
	var results [2][]float32
	for i, source := range []shaders.Source{mm.Source(), src} {
		d, err := s.dispatch(t.stopwatch, source)
		if err != nil {
			if i == 0 || errors.Is(err, gpu.ErrDeviceLost) {
				return "", err
			}
			return strings.Join(strings.Fields(err.Error()), " "), nil
		}
		if results[i], err = s.result(t.dev, d); err != nil {
			return "", err
		}
	}
	return differ(mm, mm.A.Kind == matmul.F32, results[0], results[1]), nil
}
