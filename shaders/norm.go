package shaders

import "fmt"

// Norm is RMSNorm, with int8 quantisation of the result when Quantize is set,
// and of a gated activation when Gated is. Bindings: x [Tokens, Width] or, Gated,
// gu [Tokens, 2 Width], w, rstd, then y or q and scale.
type Norm struct {
	Target        Target
	Tokens, Width int
	Eps           float32
	Quantize      bool
	Gated         bool
	Relu2         bool // of the gate, and not SiLU
}

type normParams struct {
	Norm
	rowLayout
	Accumulate bool
	Factor     bool
	Floor      float32 // of the largest magnitude of a row
	Block      int     // rows of a workgroup of NormBackward
}

// Least magnitudes that quantisation reckons with: that of BitNet for
// activations, and for gradients one that only keeps 0 from being divided by.
const (
	activationFloor = 1e-5
	gradientFloor   = 1e-30
)

// columns names the columns of an array that the load4 and put4 templates take.
type columns struct {
	Name, From        string
	Width, At, Stride int // columns, the first of them, and all of a row
	Odd               bool
	Accumulate        bool // add to what is there
}

// Words is the number of vectors of four in a row.
func (p normParams) Words() int { return Words4(p.Width) }

// Table says whether weights are loaded through the uniform table.
func (p normParams) Table() bool { return p.Target == CPUTable && p.Words() <= maxUniform }

// Odd says whether rows are no whole number of fours, and are read one by one.
func (p normParams) Odd() bool { return p.Width%4 != 0 }

// Four is the type of elements of arrays of floats.
func (p normParams) Four() string {
	if p.Odd() {
		return "f32"
	}
	return "vec4<f32>"
}

// Input is the name of what is normalised.
func (p normParams) Input() string {
	if p.Gated {
		return "gu"
	}
	return "x"
}

// PerLane is how many fours of a row an invocation takes.
func (p normParams) PerLane() int { return ceilDiv(p.Words(), p.Lanes) }

func (p normParams) Array(name string) columns {
	return columns{name, name, p.Width, 0, p.Width, p.Odd(), false}
}

func (p normParams) Gate() columns {
	return columns{"gate", "gu", p.Width, 0, 2 * p.Width, p.Odd(), false}
}

func (p normParams) Up() columns {
	return columns{"up", "gu", p.Width, p.Width, 2 * p.Width, p.Odd(), false}
}

// Gradients are the arrays that NormBackward writes.
func (p normParams) Gradients() []columns {
	out := []columns{p.Array("dx")}
	if p.Gated {
		out = []columns{p.Gate(), p.Up()}
	}
	for i := range out {
		if p.Gated {
			out[i].Name, out[i].From = "d"+out[i].Name, "dgu"
		}
		out[i].Accumulate = p.Accumulate
	}
	return out
}

func (k Norm) label(name string) string { return fmt.Sprintf("%s %dx%d", name, k.Tokens, k.Width) }

func (k Norm) Source() Source {
	layout, groups := k.Target.rowwise(k.Tokens, k.Width)
	label, flops := "norm", 8.0
	if k.Quantize {
		label = "norm+quantize"
	}
	if k.Gated {
		label, flops = "glu+"+label, flops+6
	}
	return source("norm.wgsl", k.label(label), groups, flops*float64(k.Tokens*k.Width),
		normParams{Norm: k, Floor: activationFloor, rowLayout: layout})
}

// Quantize is the int8 quantisation alone. Bindings: x, w [Width] with Factor,
// q, scale.
type Quantize struct {
	Target        Target
	Tokens, Width int
	Factor        bool // multiply column h by w[h] first
	Gradient      bool // keep the scale of gradients, however small
}

func (k Quantize) Source() Source {
	layout, groups := k.Target.rowwise(k.Tokens, k.Width)
	norm := Norm{Target: k.Target, Tokens: k.Tokens, Width: k.Width}
	p := normParams{Norm: norm, Factor: k.Factor, Floor: activationFloor, rowLayout: layout}
	if k.Gradient {
		p.Floor = gradientFloor
	}
	return source("quantize.wgsl", norm.label("quantize"), groups, 4*float64(k.Tokens*k.Width), p)
}

// NormBackward is the gradient of a Norm for its input, and in sums over blocks
// of rows for its weight. Bindings: dy, x or gu, w, rstd, dx or dgu, part [Blocks(), Width].
type NormBackward struct {
	Norm
	Accumulate bool // add to dx
}

// block is how many rows a workgroup takes: on a GPU few enough to keep a large
// one busy, and not so few that the sums of blocks cost anything.
func (k NormBackward) block() int {
	if k.Target == GPU {
		return max(8, ceilDiv(k.Tokens, 256))
	}
	_, rows := k.Target.lanes(k.Width)
	return rows
}

// Blocks is the number of rows of the partial sums.
func (k NormBackward) Blocks() int { return ceilDiv(k.Tokens, k.block()) }

func (k NormBackward) Source() Source {
	layout, _ := k.Target.rowwise(k.Tokens, k.Width)
	label, flops := "norm backward", 11.0
	if k.Gated {
		label, flops = "glu+norm backward", flops+12
	}
	return source("norm_backward.wgsl", k.label(label), fold(k.Blocks()), flops*float64(k.Tokens*k.Width),
		normParams{Norm: k.Norm, Accumulate: k.Accumulate, Block: k.block(), rowLayout: layout})
}
