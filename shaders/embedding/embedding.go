// Package embedding has the kernels of a table of embeddings.
package embedding

import (
	"embed"
	"fmt"

	"bitnet/shaders"
)

//go:embed *.wgsl
var files embed.FS

var family = shaders.NewFamily("embedding", files, "index.wgsl")

// Lookup is y[t] = table[ids[t]]. Bindings: ids, table, y.
type Lookup struct {
	Target        shaders.Target
	Tokens, Width int
	// First and Rows say which rows of a larger table the bound one has; other tokens
	// are left out. Rows 0 means that it has all.
	First, Rows int
}

func (k Lookup) Source() shaders.Source {
	v, groups := k.Target.Vectors(k.Tokens, k.Width)
	return family.Source("lookup.wgsl", fmt.Sprintf("embedding %dx%d", k.Tokens, k.Width), groups, 0, struct {
		Lookup
		shaders.Vectors
	}{k, v})
}

// Backward adds the gradient of the table. Bindings: ids, order, dy, dtable.
type Backward Lookup

func (k Backward) Source() shaders.Source {
	v, groups := k.Target.Vectors(k.Tokens, k.Width)
	return family.Source("backward.wgsl", fmt.Sprintf("embedding backward %dx%d", k.Tokens, k.Width), groups, float64(k.Tokens*k.Width), struct {
		Backward
		shaders.Vectors
	}{k, v})
}
