package train

import (
	"fmt"

	"bitnet/bitnet/model"
	"bitnet/bitnet/runs"
)

// Values of train.clip.
const (
	ClipGlobal = "global" // all gradients by the norm of all
	ClipGroup  = "group"  // those of each group of parameters by the norm of its own
)

func (t *Optimisation) checkClip() error {
	switch {
	case t.Clip != ClipGlobal && t.Clip != ClipGroup:
		return fmt.Errorf("train.clip is %q: it must be %s or %s", t.Clip, ClipGlobal, ClipGroup)
	case t.Clip == ClipGroup && t.Moments == Moments8:
		return fmt.Errorf("train.clip %s is for train.moments %s: blocks of 8-bit moments belong to several groups", ClipGroup, Moments32)
	}
	return nil
}

// groupNorms are the metrics of the groups.
var groupNorms = map[string]runs.Key{
	model.EmbeddingGroup: runs.GradNormEmbedding, model.NormsGroup: runs.GradNormNorms,
	model.AttentionGroup: runs.GradNormAttention, model.FeedForwardGroup: runs.GradNormFeedForward,
}

// setGroupNorms measures the gradients of the last step by groups, if they are
// clipped so.
func (t *Trainer) setGroupNorms(m *runs.Metrics) error {
	norms, err := t.model.Params.GroupNorms(t.state.Step - 1)
	for _, g := range norms {
		m.Set(groupNorms[g.Name], float64(g.Norm))
	}
	return err
}
