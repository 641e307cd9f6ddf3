// Package rows has kernels that sum or choose the rows of a matrix, and that move
// columns of it.
package rows

import (
	"embed"
	"fmt"

	"bitnet/shaders"
)

//go:embed *.wgsl
var files embed.FS

var family = shaders.NewFamily("rows", files, "index.wgsl")

// Sum adds the sum over rows to y. Bindings: x [Rows, Cols], y [Cols].
type Sum struct {
	Target     shaders.Target
	Rows, Cols int
}

func (k Sum) Source() shaders.Source {
	lanes := 1
	if k.Target == shaders.GPU {
		lanes = 8 // a GPU has more invocations than a model has columns
	}
	threads := k.Target.Threads()
	return family.Source("sum.wgsl", fmt.Sprintf("fold rows %dx%d", k.Rows, k.Cols), shaders.Fold(shaders.CeilDiv(k.Cols*lanes, threads)), float64(k.Rows*k.Cols), struct {
		Sum
		Threads, Lanes int
	}{k, threads, lanes})
}

// Gather copies chosen rows. Bindings: rows [Rows], x [T, Width], y [Rows, Width].
type Gather struct {
	Target      shaders.Target
	Rows, Width int
}

func (k Gather) Source() shaders.Source {
	e, groups := k.Target.Elementwise(k.Rows * k.Width)
	return family.Source("gather.wgsl", fmt.Sprintf("gather rows %dx%d", k.Rows, k.Width), groups, 0, struct {
		Gather
		shaders.Elementwise
	}{k, e})
}
