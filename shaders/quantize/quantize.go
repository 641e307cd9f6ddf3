// Package quantize has the kernels that quantise activations and gradients:
// to int8 codes by row or by column, and to the precision of float16.
package quantize

import (
	"embed"
	"fmt"

	"bitnet/shaders"
)

//go:embed *.wgsl
var files embed.FS

var family = shaders.NewFamily("quantize", files, "index.wgsl", "lanes.wgsl", "fours.wgsl", "codes.wgsl", "uniform.wgsl")

// gradientFloor is the least magnitude that the quantisation of gradients divides
// by. It only prevents a division by zero.
const gradientFloor = 1e-30

// Rows is the int8 form of each row with a scale. Bindings: x, w [Width] with
// Factor, q, scale [Tokens].
type Rows struct {
	Target        shaders.Target
	Tokens, Width int
	Factor        bool // multiply column h by w[h] first
	Gradient      bool // keep the scale of gradients, however small
}

func (k Rows) Source() shaders.Source {
	layout, groups := k.Target.Rowwise(k.Tokens, k.Width)
	floor := float32(shaders.ActivationFloor)
	if k.Gradient {
		floor = gradientFloor
	}
	return family.Source("rows.wgsl", fmt.Sprintf("quantize %dx%d", k.Tokens, k.Width), groups, 4*float64(k.Tokens*k.Width), struct {
		Rows
		shaders.Rowwise
		shaders.Fours
		Floor float32
	}{k, layout, k.Target.Fours(k.Width), floor})
}

// Ramp is rows part of the way to their int8 form. Bindings: x, step, y [Tokens, Width].
type Ramp struct {
	Target        shaders.Target
	Tokens, Width int
}

func (k Ramp) Source() shaders.Source {
	layout, groups := k.Target.Rowwise(k.Tokens, k.Width)
	return family.Source("ramp.wgsl", fmt.Sprintf("quantize ramp %dx%d", k.Tokens, k.Width), groups, 6*float64(k.Tokens*k.Width), struct {
		Tokens, Width int
		shaders.Rowwise
		shaders.Fours
		Floor float32
		Ramp  int
	}{k.Tokens, k.Width, layout, k.Target.Fours(k.Width), shaders.ActivationFloor, shaders.StepRamp})
}

// Columns is the int8 form of x[t, n] f[t] with a scale for each column, in
// three kernels.
type Columns struct {
	Target        shaders.Target
	Tokens, Width int
	Float         bool // write the codes as f32
}

// block is how many rows an invocation of AbsMax takes: few enough to keep all
// invocations of a GPU busy, and at most 64 blocks.
func (k Columns) block() int { return max(16, shaders.CeilDiv(k.Tokens, 64)) }

// Blocks is the number of rows of the partial maxima.
func (k Columns) Blocks() int { return shaders.CeilDiv(k.Tokens, k.block()) }

// AbsMax is the first kernel. Bindings: x, f, part [Blocks, Width].
func (k Columns) AbsMax() shaders.Source {
	e, groups := k.Target.Elementwise(k.Blocks() * k.Width)
	return family.Source("column_absmax.wgsl", fmt.Sprintf("column absmax %dx%d", k.Tokens, k.Width), groups, 2*float64(k.Tokens*k.Width), struct {
		Columns
		shaders.Elementwise
		Block int
	}{k, e, k.block()})
}

// Scale is the second. Bindings: part, scale [Width].
func (k Columns) Scale() shaders.Source {
	e, groups := k.Target.Elementwise(k.Width)
	return family.Source("column_scale.wgsl", fmt.Sprintf("column scale %dx%d", k.Tokens, k.Width), groups, 0, struct {
		Columns
		shaders.Elementwise
		Floor float32
	}{k, e, gradientFloor})
}

// Source is the third. Bindings: x, f, scale, q.
func (k Columns) Source() shaders.Source {
	per := shaders.Words4(k.Width)
	if k.Float {
		per = k.Width
	}
	e, groups := k.Target.Elementwise(k.Tokens * per)
	return family.Source("columns.wgsl", fmt.Sprintf("quantize columns %dx%d", k.Tokens, k.Width), groups, 4*float64(k.Tokens*k.Width), struct {
		Columns
		shaders.Elementwise
		Per int
	}{k, e, per})
}

// Half rounds a matrix as float16 does: f16(x factor Gain) / Gain.
// Bindings: x, the factors if there are any, y.
type Half struct {
	Target       shaders.Target
	Rows, Cols   int
	ByRow, ByCol bool    // a factor for each row, or each column
	Gain         float32 // a power of two; 0 means 1
}

func (k Half) Source() shaders.Source {
	e, groups := k.Target.Elementwise(k.Rows * k.Cols)
	if k.Gain == 0 {
		k.Gain = 1
	}
	return family.Source("half.wgsl", fmt.Sprintf("round to f16 %dx%d", k.Rows, k.Cols), groups, 0, struct {
		Half
		shaders.Elementwise
	}{k, e})
}
