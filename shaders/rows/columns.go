package rows

import (
	"fmt"

	"bitnet/shaders"
)

// Columns moves a matrix [Rows, Width] to or from the columns of a wider one, [Rows,
// Of], from column At on, scaled by Factor: it adds to them or, with Take, reads them.
// Bindings: part, y, or with Take y, part.
type Columns struct {
	Target      shaders.Target
	Rows, Width int
	Of, At      int
	Factor      float32
	Take        bool
}

// Source specialises the kernel.
func (k Columns) Source() shaders.Source {
	v, _ := k.Target.Vectors(k.Rows, k.Width)
	if k.Of%4 != 0 || k.At%4 != 0 {
		v.Each = 1
	}
	_, groups := k.Target.Elementwise(k.Rows * k.Width / v.Each)
	name := "add to"
	if k.Take {
		name = "take"
	}
	return family.Source("columns.wgsl", fmt.Sprintf("%s columns %dx%d of %d", name, k.Rows, k.Width, k.Of), groups, 2*float64(k.Rows*k.Width), struct {
		Columns
		shaders.Vectors
	}{k, v})
}
