package shaders

import "fmt"

// RoundHalf rounds a matrix as float16 does: f16(x factor Gain) / Gain.
// Bindings: x, the factors if there are some, y.
type RoundHalf struct {
	Target       Target
	Rows, Cols   int
	ByRow, ByCol bool    // a factor for each row, or each column
	Gain         float32 // a power of two; 0 is 1
}

func (k RoundHalf) Source() Source {
	th, groups := k.Target.elementwise(k.Rows * k.Cols)
	if k.Gain == 0 {
		k.Gain = 1
	}
	return source("round_half.wgsl", fmt.Sprintf("round to f16 %dx%d", k.Rows, k.Cols), groups, 0, struct {
		RoundHalf
		threads1D
	}{k, th})
}

// QuantizeColumns is the int8 form of x[t, n] f[t] with a scale for each
// column, in three kernels.
type QuantizeColumns struct {
	Target        Target
	Tokens, Width int
	Float         bool // write the codes as f32
}

func (k QuantizeColumns) block() int { return tokenBlock(k.Tokens) }

// Blocks is the number of rows of the partial maxima.
func (k QuantizeColumns) Blocks() int { return ceilDiv(k.Tokens, k.block()) }

// AbsMax is the first kernel. Bindings: x, f, part [Blocks, Width].
func (k QuantizeColumns) AbsMax() Source {
	th, groups := k.Target.elementwise(k.Blocks() * k.Width)
	return source("column_absmax.wgsl", fmt.Sprintf("column absmax %dx%d", k.Tokens, k.Width), groups, 2*float64(k.Tokens*k.Width), struct {
		QuantizeColumns
		threads1D
		Block int
	}{k, th, k.block()})
}

// Scale is the second. Bindings: part, scale [Width].
func (k QuantizeColumns) Scale() Source {
	th, groups := k.Target.elementwise(k.Width)
	return source("column_scale.wgsl", fmt.Sprintf("column scale %dx%d", k.Tokens, k.Width), groups, 0, struct {
		QuantizeColumns
		threads1D
		Floor float32
	}{k, th, gradientFloor})
}

// Source is the third. Bindings: x, f, scale, q.
func (k QuantizeColumns) Source() Source {
	per := Words4(k.Width)
	if k.Float {
		per = k.Width
	}
	th, groups := k.Target.elementwise(k.Tokens * per)
	return source("quantize_columns.wgsl", fmt.Sprintf("quantize columns %dx%d", k.Tokens, k.Width), groups, 4*float64(k.Tokens*k.Width), struct {
		QuantizeColumns
		threads1D
		Per int
	}{k, th, per})
}
