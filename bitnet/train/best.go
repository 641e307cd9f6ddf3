package train

import (
	"errors"
	"fmt"
	"math"

	"bitnet/bitnet/runs"
	"bitnet/data/printable"
)

// keepsBest reports whether the checkpoint of the lowest validation loss is
// always kept. A run that may stop early keeps it: its last weights are not its
// best.
func (c *Config) keepsBest() bool { return c.Output.KeepBest || c.Train.EarlyStopping > 0 }

// checkBest says what is wrong with the keys about the best checkpoint.
func (c *Config) checkBest() error {
	switch {
	case c.Train.EarlyStopping < 0:
		return fmt.Errorf("train.early_stopping is %d: it must not be negative", c.Train.EarlyStopping)
	case c.keepsBest() && c.Output.EvalInterval == 0:
		return errors.New("output.keep_best and train.early_stopping need evaluations: give --eval-interval")
	}
	return nil
}

// best is what a Trainer knows of its evaluations. The logs say it too, so that
// a resumed run knows the same.
type best struct {
	lowest float64 // validation loss; infinite before the first
	since  int     // evaluations since then
	kept   int64   // the step of the checkpoint to keep, -1 for none
	loss   float64 // its validation loss; infinite without one
}

// findBest reads what the logs say.
func (t *Trainer) findBest() error {
	t.best = best{lowest: math.Inf(1), kept: -1, loss: math.Inf(1)}
	if !t.Config.keepsBest() {
		return nil
	}
	var b runs.Best
	if t.leads() {
		var err error
		if b, err = t.Run.Best(); err != nil {
			return err
		}
	}
	if err := tellJSON(t.group, &b); err != nil {
		return err
	}
	t.best.since = b.Since
	if b.Lowest != nil {
		t.best.lowest = float64(b.Lowest.Loss)
	}
	if b.Kept != nil {
		t.best.kept, t.best.loss = b.Kept.Step, float64(b.Kept.Loss)
	}
	return nil
}

// add takes in an evaluation. If it is better than that of the checkpoint to
// keep, its own is kept from now on.
func (b *best) add(e runs.Eval) {
	loss := float64(e.Loss)
	b.since++
	if loss < b.lowest {
		b.lowest, b.since = loss, 0
	}
	if loss < b.loss {
		b.kept, b.loss = e.Step, loss
	}
}

// keeps reports whether the checkpoint of a step is never pruned.
func (t *Trainer) keeps(step int64) bool {
	return t.Config.Train.stageBoundary(step) || t.Config.keepsBest() && step == t.best.kept
}

// exhausted reports whether so many evaluations in a row brought nothing that
// the run stops early.
func (t *Trainer) exhausted() bool {
	n := t.Config.Train.EarlyStopping
	return n > 0 && t.best.since >= n
}

// stopEarly says that the run stops, and why.
func (t *Trainer) stopEarly() {
	if !t.leads() {
		return
	}
	t.events.note(fmt.Sprintf("stopping early: the validation loss no longer improves (early_stopping %d); the best is %.4f: use %s@best (--set early_stopping=0 continues)",
		t.Config.Train.EarlyStopping, t.best.lowest, printable.Shell(t.Run.Dir)))
}
