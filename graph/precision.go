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
	// with a scale for each output feature. (As in SwitchBack, arXiv 2304.13013,
	// which keeps the weight's gradient in 16 bits.)
	IntegerGradients
)

// Precisions are their names, in order.
var Precisions = []string{"f32", "mixed", "int8"}

func (p Precision) String() string { return Precisions[p] }

// AutoPrecision chooses by the adapter: Mixed on a GPU that is faster with it,
// Float32 elsewhere.
const AutoPrecision = "auto"

// SetPrecision chooses the precision of the graphs that are planned from now
// on, by its name or AutoPrecision.
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
