package shaders

import "fmt"

// Projection is a ternary matrix [Rows, K] and where it lies in what is bound:
// its first weight, its first word of codes, and the scale of its first row.
type Projection struct {
	Rows, K             int
	Weight, Code, Scale int
}

// chunkWeights is about how many weights one row of invocations quantises.
// With more the sum of magnitudes is less exact, with fewer the list of places longer.
const chunkWeights = 8192

// TernaryQuantize brings the ternary form of many projections up to date with
// three kernels, each over all of them. Its projections are cut into chunks of
// whole rows; Places tells the kernels where everything lies.
type TernaryQuantize struct {
	Target      Target
	Projections []Projection
}

// chunks calls f for each chunk: n rows of projection i from row first on.
func (k TernaryQuantize) chunks(f func(i, first, n int)) {
	for i, p := range k.Projections {
		most := max(1, chunkWeights/p.K)
		for first := 0; first < p.Rows; first += most {
			f(i, first, min(most, p.Rows-first))
		}
	}
}

// Parts is the number of partial sums.
func (k TernaryQuantize) Parts() int {
	n := 0
	k.chunks(func(int, int, int) { n++ })
	return n
}

// Places is what the kernels read as places (ternary_absmean.wgsl says how).
func (k TernaryQuantize) Places() []uint32 {
	var out []uint32
	add := func(values ...int) {
		for _, v := range values {
			out = append(out, uint32(v))
		}
	}
	parts := make([]int, len(k.Projections))
	k.chunks(func(i, first, n int) {
		p := k.Projections[i]
		add(p.Weight+first*p.K, p.Code+first*Words16(p.K), p.Scale+first, n, p.K)
		parts[i]++
	})
	part := 0
	for i, p := range k.Projections {
		add(part, parts[i], p.Scale, p.Rows, p.K)
		part += parts[i]
	}
	return out
}

type ternaryParams struct {
	rowLayout
	Chunks, Projections int
	Odd                 bool // some rows are no whole number of words
}

func (k TernaryQuantize) params() (p ternaryParams, weights float64) {
	p.Chunks, p.Projections = k.Parts(), len(k.Projections)
	for _, x := range k.Projections {
		p.Odd = p.Odd || x.K%16 != 0
		weights += float64(x.Rows) * float64(x.K)
	}
	return p, weights
}

// AbsMean starts the quantisation. Bindings: places, w, part [Parts()].
func (k TernaryQuantize) AbsMean() Source {
	p, weights := k.params()
	var groups [3]uint32
	p.rowLayout, groups = k.Target.rowwise(p.Chunks, chunkWeights/4)
	return source("ternary_absmean.wgsl", fmt.Sprintf("ternary absmean %d of %.0f", p.Projections, weights), groups, weights, p)
}

// Scale is the scale of each row. Bindings: places, part, scale.
func (k TernaryQuantize) Scale() Source {
	p, _ := k.params()
	p.rowLayout = k.Target.single()
	return source("ternary_scale.wgsl", fmt.Sprintf("ternary scale %d", p.Projections), fold(p.Projections), 0, p)
}

// Pack quantises and packs. Bindings: places, w, scale, codes.
func (k TernaryQuantize) Pack() Source {
	p, weights := k.params()
	var groups [3]uint32
	p.rowLayout, groups = k.Target.rowwise(p.Chunks, chunkWeights/4)
	return source("ternary_pack.wgsl", fmt.Sprintf("ternary pack %d of %.0f", p.Projections, weights), groups, 4*weights, p)
}

// TernaryCount counts -1, 0 and +1 in each row. Bindings: codes [N, K], counts [N, 3].
type TernaryCount struct {
	Target Target
	N, K   int
}

func (k TernaryCount) Source() Source {
	th, groups := k.Target.elementwise(k.N)
	return source("ternary_count.wgsl", fmt.Sprintf("ternary count %dx%d", k.N, k.K), groups, 0, struct {
		TernaryCount
		threads1D
	}{k, th})
}
