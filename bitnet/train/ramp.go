package train

import (
	"errors"
	"fmt"

	"bitnet/graph"
)

// A run with train.quantize_ramp quantises gradually (as BitDistill and others do when
// they continue a float model): over its first steps, weights and activations go from
// float to their ternary and int8 forms in a straight line. These steps have a program of
// their own, in float32; the one of all other steps follows. Evaluations, samples and
// checkpoints are always those of the ternary model.

// ramp is the share of the way to quantised weights and activations in a step, from 0.
func (t *Optimisation) ramp(step int64) float64 {
	if step >= int64(t.QuantizeRamp) {
		return 1
	}
	return float64(step) / float64(t.QuantizeRamp)
}

// ramps reports whether a step, from 0, quantises only in part.
func (t *Optimisation) ramps(step int64) bool { return t.ramp(step) < 1 }

func (t *Optimisation) checkRamp() error {
	switch {
	case t.QuantizeRamp < 0:
		return fmt.Errorf("train.quantize_ramp is %d: it must be a number of steps, or 0 to quantise from the first step on", t.QuantizeRamp)
	case t.QuantizeRamp == 0:
		return nil
	case t.Epochs == 0 && t.QuantizeRamp >= t.Steps:
		return fmt.Errorf("train.quantize_ramp %d leaves none of the %d steps to train the ternary model: make it smaller", t.QuantizeRamp, t.Steps)
	case t.LoRA != "":
		return errors.New("train.quantize_ramp is for weights that are trained, and train.lora leaves them as they are: leave out one of the two")
	case t.Precision == graph.IntegerGradients.String():
		return fmt.Errorf("train.precision %s rounds the gradients of ternary weights, which train.quantize_ramp does not have yet: use f32, mixed or auto", t.Precision)
	}
	return nil
}

// checkRampStart refuses a ramp where other processes train the same model.
func checkRampStart(c *Config, s Start) error {
	switch {
	case c.Train.QuantizeRamp == 0:
		return nil
	case s.Group.Size() > 1:
		return &ConfigError{errors.New("train.quantize_ramp is for one process: start it without mpirun, or set it to 0")}
	case s.Peers != nil:
		return &ConfigError{errors.New("a swarm quantises from the first step on: leave out train.quantize_ramp, or --swarm")}
	}
	return nil
}

// plans are those of all steps: that of the next one, and with a ramp that of the others.
func (t *Trainer) plans() ([]*graph.Plan, error) {
	list := []*graph.Plan{t.Plan}
	c := &t.Config
	if c.Train.QuantizeRamp == 0 {
		return list, nil
	}
	other, err := t.model.PlanTraining(c.step(t.share, c.Train.memory(), !t.ramping))
	return append(list, other), err
}

// followRamp changes the program of the step where the ramp begins or ends.
func (t *Trainer) followRamp() (err error) {
	ramps := t.Config.Train.ramps(t.state.Step)
	if ramps == t.ramping {
		return nil
	}
	if t.evaluator != nil { // it computes in the memory of the program
		t.evaluator.Release()
		t.evaluator = nil
	}
	t.program.Release()
	t.program = nil
	t.ramping = ramps
	if t.Plan, err = t.model.PlanTraining(t.Config.step(t.share, t.Config.Train.memory(), ramps)); err != nil {
		return err
	}
	if err := t.Plan.Use(t.variants); err != nil {
		return err
	}
	return t.compile(t.variants)
}
