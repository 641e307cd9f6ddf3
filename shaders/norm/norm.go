// Package norm has the kernels of RMSNorm and its gradient, and of a gated activation
// without a norm.
package norm

import (
	"embed"
	"fmt"

	"bitnet/shaders"
)

//go:embed *.wgsl
var files embed.FS

var family = shaders.NewFamily("norm", files, "index.wgsl", "lanes.wgsl", "fours.wgsl", "codes.wgsl", "uniform.wgsl")

// RMS is RMSNorm of stored values or, with Gated, of a gated activation; with
// Quantize the result is written as int8 codes. Bindings: x [Tokens, Width] or,
// with Gated, gu [Tokens, 2 Width], w, rstd, then y, or q and scale.
type RMS struct {
	Target        shaders.Target
	Tokens, Width int
	Eps           float32
	Quantize      bool
	Gated         bool
	Relu2         bool // the activation is squared ReLU and not SiLU
}

func (k RMS) Source() shaders.Source {
	layout, groups := k.Target.Rowwise(k.Tokens, k.Width)
	label, flops := "norm", 8.0
	if k.Quantize {
		label = "norm+quantize"
	}
	if k.Gated {
		label, flops = "glu+"+label, flops+6
	}
	return family.Source("rms.wgsl", k.label(label), groups, flops*float64(k.Tokens*k.Width),
		params{RMS: k, Rowwise: layout, Fours: k.Target.Fours(k.Width), Floor: shaders.ActivationFloor})
}

func (k RMS) label(name string) string { return fmt.Sprintf("%s %dx%d", name, k.Tokens, k.Width) }

// Gated is the gated activation of gu without a norm. Bindings: gu [Tokens, 2 Width],
// y [Tokens, Width].
type Gated struct {
	Target        shaders.Target
	Tokens, Width int
	Relu2         bool // the activation is squared ReLU and not SiLU
}

func (k Gated) Source() shaders.Source {
	words := shaders.Words4(k.Width)
	e, groups := k.Target.Elementwise(k.Tokens * words)
	rms := RMS{Target: k.Target, Tokens: k.Tokens, Width: k.Width, Gated: true, Relu2: k.Relu2}
	return family.Source("gated.wgsl", fmt.Sprintf("glu %dx%d", k.Tokens, k.Width), groups, 6*float64(k.Tokens*k.Width), struct {
		params
		shaders.Elementwise
	}{params{RMS: rms, Fours: k.Target.Fours(k.Width)}, e})
}

// RMSBackward is the gradient of an RMS for its input, and in sums over blocks
// of rows for its weight. Bindings: dy, x or gu, w, rstd, d_x or d_gu, part [Blocks(), Width].
type RMSBackward struct {
	RMS
	Accumulate bool // add to dx
	InPlace    bool // with Gated: dgu overwrites gu, and is no binding of its own
}

// block is how many rows a workgroup takes: on a GPU few enough to keep a large
// one busy, but so many that the sums of blocks cost little.
func (k RMSBackward) block() int {
	if k.Target == shaders.GPU {
		return max(8, shaders.CeilDiv(k.Tokens, 256))
	}
	layout, _ := k.Target.Rowwise(k.Tokens, k.Width)
	return layout.RowsPerGroup
}

// Blocks is the number of rows of the partial sums.
func (k RMSBackward) Blocks() int { return shaders.CeilDiv(k.Tokens, k.block()) }

func (k RMSBackward) Source() shaders.Source {
	layout, _ := k.Target.Rowwise(k.Tokens, k.Width)
	label, flops := "norm backward", 11.0
	if k.Gated {
		label, flops = "glu+norm backward", flops+12
	}
	if k.InPlace {
		label += " in place"
	}
	return family.Source("backward.wgsl", k.label(label), shaders.Fold(k.Blocks()), flops*float64(k.Tokens*k.Width),
		params{RMS: k.RMS, Rowwise: layout, Fours: k.Target.Fours(k.Width), Accumulate: k.Accumulate, InPlace: k.InPlace, Block: k.block()})
}

type params struct {
	RMS
	shaders.Rowwise
	shaders.Fours
	Floor      float32 // of the largest magnitude of a row
	Accumulate bool
	InPlace    bool
	Block      int // rows of a workgroup of RMSBackward
}

// Input is the name of what is normalised.
func (p params) Input() string {
	if p.Gated {
		return "gu"
	}
	return "x"
}

// PerLane is how many fours of a row an invocation takes.
func (p params) PerLane() int { return shaders.CeilDiv(p.Words(), p.Lanes) }

// Gate is the first half of gu.
func (p params) Gate() shaders.Columns { return p.Columns("gate", "gu", 0, 2*p.Width) }

// Up is the second half of gu.
func (p params) Up() shaders.Columns { return p.Columns("up", "gu", p.Width, 2*p.Width) }

// Gradients are the arrays that RMSBackward writes.
func (p params) Gradients() []shaders.Columns {
	out := []shaders.Columns{p.Columns("dx", "d_x", 0, p.Width)} // not dx, which is a namespace of HLSL
	if p.Gated {
		to := "d_gu"
		if p.InPlace {
			to = "gu"
		}
		out = []shaders.Columns{p.Columns("dgate", to, 0, 2*p.Width), p.Columns("dup", to, p.Width, 2*p.Width)}
	}
	for i := range out {
		out[i].Accumulate = p.Accumulate
	}
	return out
}
