// Package ternary has the kernels that quantise weights to -1, 0 and +1, and
// count them.
package ternary

import (
	"embed"
	"fmt"

	"bitnet/shaders"
)

//go:embed *.wgsl
var files embed.FS

var family = shaders.NewFamily("ternary", files, "index.wgsl", "lanes.wgsl")

// Projection is a ternary matrix [Rows, K] and its place in what is bound:
// its first weight, its first word of codes, and the scale of its first row.
type Projection struct {
	Rows, K             int
	Weight, Code, Scale int
}

// chunkWeights is about how many weights one row of invocations quantises.
// With more, the sum of magnitudes is less exact; with fewer, the list of places is longer.
const chunkWeights = 8192

// Quantize updates the ternary form of many projections with three kernels,
// each over all of them. The projections are cut into chunks of whole rows;
// Places tells the kernels where everything is.
type Quantize struct {
	Target      shaders.Target
	Projections []Projection
}

// chunks calls f for each chunk: n rows of projection i from row first on.
func (k Quantize) chunks(f func(i, first, n int)) {
	for i, p := range k.Projections {
		most := max(1, chunkWeights/p.K)
		for first := 0; first < p.Rows; first += most {
			f(i, first, min(most, p.Rows-first))
		}
	}
}

// Parts is the number of partial sums.
func (k Quantize) Parts() int {
	n := 0
	k.chunks(func(int, int, int) { n++ })
	return n
}

// Places is the content of the binding places (the struct Places in places.wgsl).
func (k Quantize) Places() []uint32 {
	var out []uint32
	add := func(values ...int) {
		for _, v := range values {
			out = append(out, uint32(v))
		}
	}
	parts := make([]int, len(k.Projections))
	k.chunks(func(i, first, n int) {
		p := k.Projections[i]
		add(p.Weight+first*p.K, p.Code+first*shaders.Words16(p.K), p.Scale+first, n, p.K)
		parts[i]++
	})
	part := 0
	for i, p := range k.Projections {
		add(part, parts[i], p.Scale, p.Rows, p.K)
		part += parts[i]
	}
	return out
}

type params struct {
	shaders.Rowwise
	Chunks, Projections int
	Odd                 bool // some rows are no whole number of words
}

// Element is the type of the elements of w.
func (p params) Element() string {
	if p.Odd {
		return "f32"
	}
	return "vec4<f32>"
}

func (k Quantize) params() (p params, weights float64) {
	p.Chunks, p.Projections = k.Parts(), len(k.Projections)
	for _, x := range k.Projections {
		p.Odd = p.Odd || x.K%16 != 0
		weights += float64(x.Rows) * float64(x.K)
	}
	return p, weights
}

// AbsMean is the first kernel. Bindings: places, w, part [Parts()].
func (k Quantize) AbsMean() shaders.Source {
	p, weights := k.params()
	var groups [3]uint32
	p.Rowwise, groups = k.Target.Rowwise(p.Chunks, chunkWeights/4)
	return family.Source("absmean.wgsl", fmt.Sprintf("ternary absmean %d of %.0f", p.Projections, weights), groups, weights, p)
}

// Scale is the second: the scale of each row. Bindings: places, part, scale.
func (k Quantize) Scale() shaders.Source {
	p, _ := k.params()
	p.Rowwise = k.Target.Single()
	return family.Source("scale.wgsl", fmt.Sprintf("ternary scale %d", p.Projections), shaders.Fold(p.Projections), 0, p)
}

// Pack is the third: it quantises and packs. Bindings: places, w, scale, codes.
func (k Quantize) Pack() shaders.Source {
	p, weights := k.params()
	var groups [3]uint32
	p.Rowwise, groups = k.Target.Rowwise(p.Chunks, chunkWeights/4)
	return family.Source("pack.wgsl", fmt.Sprintf("ternary pack %d of %.0f", p.Projections, weights), groups, 4*weights, p)
}

// Ramp is weights part of the way to their ternary form. Bindings: w [N, K], codes, scale
// [N], step, y [N, K].
type Ramp struct {
	Target shaders.Target
	N, K   int
}

func (k Ramp) Source() shaders.Source {
	e, groups := k.Target.Elementwise(k.N * k.K)
	return family.Source("ramp.wgsl", fmt.Sprintf("ternary ramp %dx%d", k.N, k.K), groups, 4*float64(k.N)*float64(k.K), struct {
		N, K int
		shaders.Elementwise
		Ramp int
	}{k.N, k.K, e, shaders.StepRamp})
}

// Count counts -1, 0 and +1 in each row. Bindings: codes [N, K], counts [N, 3].
type Count struct {
	Target shaders.Target
	N, K   int
}

func (k Count) Source() shaders.Source {
	e, groups := k.Target.Elementwise(k.N)
	return family.Source("count.wgsl", fmt.Sprintf("ternary count %dx%d", k.N, k.K), groups, 0, struct {
		Count
		shaders.Elementwise
	}{k, e})
}
