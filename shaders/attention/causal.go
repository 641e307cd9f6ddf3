// Package attention has the kernels of causal grouped-query attention, of its
// gradient, and of attention over a cache of keys and values.
package attention

import (
	"embed"
	"fmt"
	"math"

	"bitnet/shaders"
)

//go:embed *.wgsl
var files embed.FS

var family = shaders.NewFamily("attention", files, "index.wgsl", "uniform.wgsl")

// Causal has the shapes of causal grouped-query attention.
type Causal struct {
	Target                              shaders.Target
	Batch, Seq, Heads, KVHeads, HeadDim int
	// Documents says that a row holds several documents, and that a token sees only
	// its own: begins [Batch, Seq] has the place in its row of the first token of
	// each token's document.
	Documents bool
	Memory    int // bytes of workgroup memory, 0 for what WebGPU guarantees
}

// Source is the forward kernel. Bindings: qkv, begins with Documents, o, lse.
func (k Causal) Source() shaders.Source {
	return k.source("forward", "attention", false, 2, 4, k.tiles(1, 1, 1, 32, 0))
}

// Delta is the first step of the gradient. Bindings: dout, o, delta.
func (k Causal) Delta() shaders.Source {
	n := k.Batch * k.Seq * k.Heads
	e, groups := k.Target.Elementwise(n)
	return family.Source("delta.wgsl", fmt.Sprintf("attention delta %dx%d", n, k.HeadDim), groups, 2*float64(n*k.HeadDim), struct {
		shaders.Elementwise
		N, HeadDim int
		Rolled     bool // the compiler cannot know the number of iterations, and does not unroll
	}{e, n, k.HeadDim, k.Target != shaders.GPU})
}

// DQ is the gradient of the queries. Bindings: qkv, lse, dout, delta,
// begins with Documents, dqkv.
func (k Causal) DQ() shaders.Source {
	return k.source("dq", "attention dq", false, 3, 6, k.tiles(2, 2, 1, 0, 0))
}

// DKV is the gradient of keys and values. Bindings: qkv, lse, dout, delta,
// begins with Documents, dqkv.
func (k Causal) DKV() shaders.Source {
	return k.source("dkv", "attention dkv", true, 4, 8, k.tiles(2, 2, 2, 0, 8))
}

type params struct {
	Causal
	Scale                float32
	Threads, Rows, Block int
	Pair                 int // heads that an invocation takes at once, of those that share their keys
}

func (k Causal) params() params {
	return params{Causal: k, Scale: scale(k.HeadDim), Pair: 1}
}

// scale is the factor of scores, 1 / sqrt(D).
func scale(headDim int) float32 { return float32(1 / math.Sqrt(float64(headDim))) }

// source lays out one of the three kernels, whose rows are queries or keys; live
// is how many vectors of a head an invocation holds for each of its rows where it
// works alone.
func (k Causal) source(file, label string, keys bool, live int, flops float64, tiles tiles) shaders.Source {
	heads := k.Heads
	if keys {
		heads = k.KVHeads
	}
	if k.Documents {
		label += " of documents"
	}
	p := k.params()
	var data any = &p
	rows := 0
	switch {
	case k.Target == shaders.GPU && tiles.Rows > 0:
		file += "_tiles"
		data, rows = tiles, tiles.Rows
	case k.Target == shaders.CPUTable && max(k.Seq, k.Batch*k.Heads) <= shaders.MaxUniform:
		file += "_table"
		p.Threads, p.Rows, p.Block = 16, 1, 4
		// What is loaded once for all lanes serves two rows of each: queries of two heads that
		// share their keys, or two keys, where few of them are masked out together.
		switch {
		case keys && k.Seq >= 128:
			p.Rows = 2
		case !keys && k.Heads/k.KVHeads%2 == 0:
			p.Pair = 2
		}
		for p.Block > 1 && p.Block*p.Pair*p.Rows*live*k.HeadDim > 512 {
			p.Block /= 2
		}
	default:
		// With more than about 200 live values an invocation, LLVM takes a minute to allocate registers.
		p.Threads, p.Rows, p.Block = 8, 4, 1
		for p.Rows > 1 && p.Rows*live*k.HeadDim > 256 {
			p.Rows /= 2
		}
		for p.Threads > 1 && p.Threads*p.Rows/2 >= k.Seq {
			p.Threads /= 2
		}
	}
	if rows == 0 {
		rows = p.Threads * p.Rows
	}
	groups := [3]uint32{uint32(shaders.CeilDiv(k.Seq, rows)), uint32(k.Batch * heads / p.Pair), 1}
	pairs := float64(k.Batch*k.Heads) * float64(k.Seq) * float64(k.Seq+1) / 2
	return family.Source(file+".wgsl", fmt.Sprintf("%s %dx%dx%dx%d", label, k.Batch, k.Seq, k.Heads, k.HeadDim), groups, flops*pairs*float64(k.HeadDim), data)
}
