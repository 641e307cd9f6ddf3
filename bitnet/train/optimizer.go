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

// muonMomentum is that of Jordan et al. (2024).
const muonMomentum = 0.95

// optimizer is what train.optimizer says.
func (t Optimisation) optimizer() graph.Optimizer {
	adamw := graph.AdamW{Beta1: float32(t.Beta1), Beta2: float32(t.Beta2), Eps: float32(t.Eps)}
	if t.Optimizer == Muon {
		return graph.Muon{Momentum: muonMomentum, AdamW: adamw}
	}
	return adamw
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
