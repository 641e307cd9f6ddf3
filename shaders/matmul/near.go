package matmul

import (
	"fmt"

	"bitnet/shaders"
)

// Near makes the largest values of a product exact, whose b was rounded to int8 by
// rows (scale[n] = max_k |b[n, k]| / 127): c[m, n] of a few rows is computed again
// from b in f32 wherever it could be the largest of its row. So the largest of a row
// is the one that it would be without rounding.
//
// Rounding moves c[m, n] by no more than scale[n] sum_k |a[m, k]| / 2, and sums in
// f32 by less than K 2^-16 of that.
type Near struct {
	Target  shaders.Target
	M, N, K int // K a multiple of four
}

type nearParams struct {
	Near
	shaders.Rowwise
	Words   int     // vec4 of a row
	Half    float32 // of the distance between two codes, and what sums lose
	Columns int     // of a lane, one after another
	Each    int     // columns of a workgroup at once
}

func (k Near) params(r shaders.Rowwise) nearParams {
	return nearParams{Near: k, Rowwise: r, Words: k.K / 4, Half: 0.501 + float32(k.K)/(1<<16), Columns: 1, Each: 8}
}

// Bound is the first kernel: what each row's largest value is at least, and by how
// many scales a value may be wrong. Bindings: a [M, K], scale [N], c [M, N], bound [M, 2].
func (k Near) Bound() shaders.Source {
	r := shaders.Rowwise{Threads: 16, Lanes: 16, RowsPerGroup: 1}
	if k.Target == shaders.GPU {
		r, _ = k.Target.Rowwise(k.M, k.N)
	}
	return family.Source("near_bound.wgsl", fmt.Sprintf("bound of the largest %dx%d", k.M, k.N), shaders.Fold(k.M), 3*float64(k.M*k.N), k.params(r))
}

// Source is the second. Bindings: a, b [N, K] in f32, scale, bound, c.
func (k Near) Source() shaders.Source {
	p := k.params(shaders.Rowwise{Threads: 128, Lanes: 16})
	if k.Target != shaders.GPU {
		p.Threads, p.Lanes, p.Each, p.Columns = 16, 1, 16, 8
	}
	groups := [3]uint32{uint32(shaders.CeilDiv(k.N, p.Each*p.Columns)), uint32(k.M), 1}
	return family.Source("near.wgsl", fmt.Sprintf("largest exactly %dx%dx%d", k.M, k.N, k.K), groups, 0, p)
}
