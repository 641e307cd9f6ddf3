package model

import (
	"strings"

	"bitnet/bitnet/modelfile"
	"bitnet/graph"
)

// Groups of parameters that ClipByGroup clips by themselves.
const (
	EmbeddingGroup   = "embedding" // with the head, which shares its table
	NormsGroup       = "norms"
	AttentionGroup   = "attention"    // projections q, k, v, o
	FeedForwardGroup = "feed_forward" // projections gate, up, down
)

// ClipByGroup lets training steps that are planned from now on clip the gradient of
// each group by its own norm. The adapters of a projection belong to its group.
func (m *Model) ClipByGroup() error {
	return m.Params.ClipBy(func(p *graph.Param) string {
		switch name := p.Parts[0].Name; {
		case p.IsVector():
			return NormsGroup
		case name == modelfile.EmbeddingName:
			return EmbeddingGroup
		case strings.Contains(name, ".mlp."):
			return FeedForwardGroup
		default:
			return AttentionGroup
		}
	})
}
