package train

import (
	"fmt"
	"path/filepath"

	"bitnet/graph"
)

// Values of train.optimizer.
const (
	AdamW = "adamw" // for all parameters
	Muon  = "muon"  // for ternary projections, AdamW for the others
)

// Values of train.moments.
const (
	Moments32 = "f32"
	Moments8  = "8bit" // by blocks, with a scale each
)

// muonMomentum is that of Jordan et al. (2024).
const muonMomentum = 0.95

// optimizer is what train.optimizer says.
func (t Optimisation) optimizer() graph.Optimizer {
	adamw := graph.AdamW{Beta1: float32(t.Beta1), Beta2: float32(t.Beta2), Eps: float32(t.Eps)}
	if t.Optimizer == Muon {
		return graph.Muon{Momentum: muonMomentum, AdamW: adamw}
	}
	if t.Moments == Moments8 {
		return graph.AdamW8{AdamW: adamw}
	}
	return adamw
}

func (t *Optimisation) checkOptimizer() error {
	switch {
	case t.Optimizer != AdamW && t.Optimizer != Muon:
		return fmt.Errorf("train.optimizer is %q: it must be %s or %s", t.Optimizer, AdamW, Muon)
	case t.Moments != Moments32 && t.Moments != Moments8:
		return fmt.Errorf("train.moments is %q: it must be %s or %s", t.Moments, Moments32, Moments8)
	case t.Moments == Moments8 && t.Optimizer != AdamW:
		return fmt.Errorf("train.moments %s is for train.optimizer %s: %s keeps its moments in float32", Moments8, AdamW, t.Optimizer)
	}
	return nil
}

// sameOptimizer checks that a checkpoint holds the state of an optimizer.
func sameOptimizer(checkpoint, optimizer string) error {
	before, err := LoadConfig(filepath.Join(checkpoint, configName))
	if err != nil {
		return err
	}
	if before.Train.Optimizer != optimizer {
		return fmt.Errorf("%s holds the state of %s, not of %s: resume it with --set optimizer=%s, or start a new run from its weights with --init",
			checkpoint, before.Train.Optimizer, optimizer, before.Train.Optimizer)
	}
	return nil
}
