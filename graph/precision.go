package graph

import (
	"fmt"
	"strings"

	"bitnet/shaders"
)

// Precision is how products of gradients, and those of the output head, are
// computed. The ternary forward is exact in each. An adapter without matrix
// units for a precision rounds as they do and multiplies in float32.
type Precision int

const (
	// Float32 keeps both factors in float32.
	Float32 Precision = iota
	// Mixed rounds both factors to float16, with gradients lifted into its
	// range first, and sums products in float32. (Mixed precision training,
	// arXiv 1710.03740.)
	Mixed
	// IntegerGradients is Mixed with the gradients of ternary projections rounded to int8:
	// for the input's gradient with a scale for each token, for the weight's
	// with one for each output feature. (As in SwitchBack, arXiv 2304.13013,
	// which keeps the weight's gradient in 16 bits.)
	IntegerGradients
)

// Precisions are their names, in order.
var Precisions = []string{"f32", "mixed", "int8"}

func (p Precision) String() string { return Precisions[p] }

// AutoPrecision is the name of no precision of its own: it is Mixed on a GPU
// that is faster with it, and else Float32.
const AutoPrecision = "auto"

// SetPrecision chooses that of the graphs that are planned from now on, by its
// name or AutoPrecision.
func (ps *Params) SetPrecision(name string) (err error) {
	switch {
	case name != AutoPrecision:
		ps.Precision, err = ParsePrecision(name)
	case ps.Target == shaders.GPU && ps.Limits.Speeds(Mixed):
		ps.Precision = Mixed
	default:
		ps.Precision = Float32
	}
	return err
}

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
	return 0, fmt.Errorf("no precision is called %q: choose one of %s, %s", name, AutoPrecision, strings.Join(Precisions, ", "))
}

// Speeds reports whether an adapter computes a precision faster than float32,
// by matrix units.
func (l Limits) Speeds(p Precision) bool {
	switch p {
	case Mixed:
		return l.Units.Has("f16", "f32")
	case IntegerGradients:
		return l.Units.Has("f16", "f32") || l.Units.Has("i8", "i32")
	}
	return true
}

// fewRows is the number of rows up to which a product is bound by reading its
// other factor, so that matrix units gain nothing.
const fewRows = 16

// product emits a matrix product of args, the bindings of mm in order: on matrix
// units or with packed dot products where that changes no result, or where the
// precision asks for it.
func (e *emitter) product(mm shaders.MatMul, args ...arg) {
	mm.Target = e.target
	if mm.M <= fewRows {
		e.runRows(mm.Source(), args...)
		return
	}
	memory := e.limits.Units.WorkgroupMemory
	exact := mm.Whole()
	var variants []shaders.Variant
	if exact && e.target == shaders.GPU || e.precision != Float32 {
		variants = mm.MatrixVariants(e.limits.Units)
	}
	if exact && e.limits.PackedDot {
		variants = append(variants, mm.PackedVariants(memory)...)
	}
	if len(variants) > 0 {
		if exact {
			variants = append(variants, mm.Variants(memory)[0])
		}
		e.runRows(e.pick(mm, !exact, variants), args...)
		return
	}
	if !exact && e.precision != Float32 {
		mm, args = e.rounded(mm, args)
	}
	e.runRows(e.pick(mm, false, mm.Variants(memory)), args...)
}

// rounded emits kernels that round the float32 factors of a product to float16,
// as matrix units do on the way.
func (e *emitter) rounded(mm shaders.MatMul, args []arg) (shaders.MatMul, []arg) {
	out := append([]arg(nil), args...)
	for i, o := range []shaders.Operand{mm.A, mm.B} {
		if o.Kind != shaders.F32 {
			continue
		}
		k := shaders.RoundHalf{Target: e.target, Rows: args[i].height(), Cols: args[i].t.Cols, Gain: 1}
		of := []arg{args[i]}
		if i == 0 {
			k.Gain = mm.Gain
			if mm.ScaleK {
				k.ByCol, k.ByRow = o.AlongK, !o.AlongK
				of = append(of, args[2])
			}
		}
		t := tensor("rounded", F32, k.Rows, k.Cols)
		e.runRows(k.Source(), append(of, whole(t))...)
		out[i] = whole(t)
	}
	if mm.ScaleK && mm.A.Kind == shaders.F32 {
		mm.ScaleK = false
		out = append(out[:2], out[3:]...)
	}
	return mm, out
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
