package graph

import (
	"fmt"
	"strings"

	"bitnet/shaders"
)

// Precision is how products of gradients, and those of the output head, are
// computed. The ternary forward is exact in each.
type Precision int

const (
	// Float32 keeps both factors in float32.
	Float32 Precision = iota
	// Mixed rounds both factors to float16, with gradients lifted into its
	// range first, and sums products in float32 on matrix units. (Mixed
	// precision training, arXiv 1710.03740.)
	Mixed
)

// Precisions are their names, in order.
var Precisions = []string{"f32", "mixed"}

func (p Precision) String() string { return Precisions[p] }

// ParsePrecision finds a precision by its name; "" is f32.
func ParsePrecision(name string) (Precision, error) {
	if name == "" {
		return Float32, nil
	}
	for i, n := range Precisions {
		if n == name {
			return Precision(i), nil
		}
	}
	return 0, fmt.Errorf("no precision is called %q: choose one of %s", name, strings.Join(Precisions, ", "))
}

// CheckPrecision says whether an adapter can compute in a precision.
func (l Limits) CheckPrecision(p Precision) error {
	if p == Mixed && !l.Units.Has("f16", "f32") {
		return fmt.Errorf("precision %s needs matrix units for float16, and this adapter has none or its backend does not reach them: use --backend dawn (make dawn installs it) on a GPU that has some, or --precision f32", p)
	}
	return nil
}

// fewRows is the number of rows up to which a product is bound by reading its
// other factor, so that matrix units gain nothing.
const fewRows = 16

// product chooses the kernel of a matrix product: on matrix units where that
// changes no result, and with mixed precision wherever they fit.
func (e *emitter) product(mm shaders.MatMul) shaders.Source {
	mm.Target = e.target
	exact := mm.A.Kind == shaders.Int8 && mm.B.Kind == shaders.Ternary && !mm.ScaleK
	if mm.M > fewRows && (exact && e.target == shaders.GPU || e.precision == Mixed) {
		if src, fits := mm.MatrixSource(e.limits.Units); fits {
			return src
		}
	}
	return mm.Source()
}

// gain lifts the gradients of a mean over tokens into the range of float16:
// those of the logits then lie between -16 and 16, which leaves room for them
// to grow a thousandfold on their way back.
func gain(tokens int) float32 {
	g := float32(16)
	for n := 1; n < tokens; n *= 2 {
		g *= 2
	}
	return g
}
