// Package rope has the kernel of rotary position embedding (Su et al., 2021).
package rope

import (
	"embed"
	"fmt"

	"bitnet/shaders"
)

//go:embed *.wgsl
var files embed.FS

var family = shaders.NewFamily("rope", files, "index.wgsl")

// Rotation rotates the first Heads heads of each row in place; Stride is the
// length of a row. With a Context, each token has a position of its own, and Seq
// means nothing; with Documents, positions in a row begin again with each of its
// documents. Bindings: table [Seq or Context, 2, HeadDim/2], x, and places
// [2, Tokens] (positions first) with a Context or begins [Tokens] with Documents.
type Rotation struct {
	Target                              shaders.Target
	Tokens, Seq, Heads, HeadDim, Stride int
	Context                             int
	Documents, Backward                 bool
}

func (k Rotation) Source() shaders.Source {
	v, groups := k.Target.Vectors(k.Tokens*k.Heads, k.HeadDim/2)
	return family.Source("rotation.wgsl", fmt.Sprintf("rope %dx%dx%d", k.Tokens, k.Heads, k.HeadDim), groups, 3*float64(k.Tokens*k.Heads*k.HeadDim), struct {
		Rotation
		shaders.Vectors
	}{k, v})
}
