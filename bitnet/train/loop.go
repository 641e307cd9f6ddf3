package train

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"bitnet/bitnet/runs"
	"bitnet/graph"
)

// Train runs to the last step, or until the validation loss no longer improves
// (train.early_stopping), or until ctx ends; then it saves a checkpoint and
// returns ctx's error. What a person would wait for, samples and evaluations,
// is left out then; a resumed run catches up on it.
func (t *Trainer) Train(ctx context.Context) error {
	err := t.train(ctx)
	if t.group.Size() > 1 && (err == nil || errors.Is(err, context.Canceled)) {
		if failed := t.group.Barrier(); failed != nil { // rank 0 may still be saving
			return failed
		}
	}
	return err
}

func (t *Trainer) train(ctx context.Context) error {
	if t.leads() {
		if err := t.Run.SetAside(t.state.Step, t.events.note); err != nil {
			return fmt.Errorf("setting aside checkpoints: %w", err)
		}
		if err := t.openLogs(); err != nil {
			return err
		}
		defer t.logs.Close()
	}
	if err := t.settle(t.together(ctx, false)); err != nil {
		return err
	}
	if t.state.Step > 0 && t.exhausted() {
		t.stopEarly()
		return nil
	}
	if t.peers.Peers != nil {
		defer t.peers.Leave()
		if err := t.join(ctx); err != nil {
			return err
		}
		if t.peers.round.Steps == 0 {
			return t.finishJoined(ctx)
		}
	}
	t.began = time.Now()
	t.savedAt = t.began
	compiled := t.group.Busy() // the first step compiles
	defer compiled()
	for t.state.Step < int64(t.Config.Train.Steps) {
		if err := t.takePart(); err != nil {
			return err
		}
		if err := t.Advance(); err != nil {
			return err
		}
		compiled()
		if err := t.endRound(ctx); err != nil {
			return err
		}
		if t.events.Step != nil {
			t.events.Step(t.state.Step)
		}
		d, err := t.due(ctx)
		if err != nil {
			return err
		}
		ended, err := t.attend(t.together(ctx, d.stop), d)
		if ended || err != nil {
			return err
		}
	}
	return nil
}

// settle makes up for what an earlier process left undone, and remembers what the
// loop needs to know of the run directory.
func (t *Trainer) settle(ctx context.Context) error {
	defer t.group.Busy()()
	err := t.findBest()
	if err != nil {
		return err
	}
	if t.leads() {
		if t.place, err = os.Stat(t.Run.Dir); err != nil {
			return fmt.Errorf("looking at the run directory: %w", err)
		}
	}
	if t.Config.Train.OnAnomaly == runs.RollBack && t.saved < 0 {
		if err := t.save(); err != nil { // a rollback needs one
			return err
		}
	}
	if t.state.Step > 0 {
		o := &t.Config.Output
		return t.catchUp(ctx, t.every(o.EvalInterval), t.every(o.SampleInterval))
	}
	return nil
}

// every says whether the steps done are a multiple of an interval, or others of a
// swarm have just passed one; 0 is never.
func (t *Trainer) every(interval int) bool {
	return interval > 0 && t.state.Step%int64(interval) <= max(t.peers.jumped, 0)
}

// due is what is to be done after a step.
type due struct {
	last, stop             bool // of all steps; because of a signal
	log, evaluate, samples bool
	best, save             bool // the checkpoint if it is the best so far, or in any case
}

// due decides what is to be done after the step that was just taken, the same on
// all ranks.
func (t *Trainer) due(ctx context.Context) (due, error) {
	c, o := &t.Config.Train, &t.Config.Output
	last := t.state.Step == int64(c.Steps)
	stop, overdue, err := t.agree(ctx.Err() != nil, o.CheckpointMinutes > 0 && time.Since(t.savedAt).Minutes() >= o.CheckpointMinutes)
	if err != nil {
		return due{}, err
	}
	evaluate := last || t.every(o.EvalInterval)
	return due{
		last: last, stop: stop,
		log:      last || stop || t.every(o.LogInterval) || firstLines(t.state.Step) || t.state.Step-t.observed == graph.HistorySlots,
		evaluate: evaluate,
		samples:  last || t.every(o.SampleInterval),
		best:     evaluate && t.Config.keepsBest(),
		save:     last || stop || overdue || t.every(o.CheckpointInterval) || c.stageBoundary(t.state.Step),
	}, nil
}

// attend does what is due after a step, and reports whether training ends here.
func (t *Trainer) attend(ctx context.Context, d due) (ended bool, err error) {
	if d.log || d.save || d.best { // no checkpoint may hold NaN or infinity
		if !t.present() {
			return true, t.rescue()
		}
		rolledBack, err := t.review()
		if err != nil {
			return true, err
		}
		if rolledBack {
			t.began = time.Now()
			return false, nil
		}
	}
	if d.log {
		if err := t.measure(d.save || d.evaluate || t.sharesDue()); err != nil {
			return true, err
		}
	}
	if t.every(compareEvery) {
		if err := t.compareWeights(); err != nil {
			return true, err
		}
	}
	if d.evaluate || d.samples || d.save {
		defer t.group.Busy()()
	}
	pause := time.Now() // what follows is not training time
	err = t.examine(ctx, d.evaluate, d.samples)
	if err != nil && errors.Is(err, ctx.Err()) {
		rolledBack, err := t.interrupted(d)
		if rolledBack || err != nil {
			return err != nil, err
		}
		d.stop, d.save = true, true
	} else if err != nil {
		return true, err
	}
	early := t.exhausted() && !d.stop && !d.last
	if early && !d.log {
		t.began = t.began.Add(time.Since(pause))
		if err := t.measure(true); err != nil {
			return true, err
		}
	}
	if d.save || early || t.best.kept == t.state.Step {
		if err := t.save(); err != nil {
			return true, err
		}
	}
	t.began = t.began.Add(time.Since(pause))
	if d.stop && !d.last {
		return true, ctx.Err()
	}
	if early {
		t.stopEarly()
	}
	if early || d.last {
		t.adviseBatch()
	}
	return early, nil
}

// interrupted reviews and logs a step whose evaluation or samples a signal cut
// short, as far as that is not done yet: the step is saved next.
func (t *Trainer) interrupted(d due) (rolledBack bool, err error) {
	if !d.log && !d.save && !d.best {
		if rolledBack, err = t.review(); rolledBack || err != nil {
			return rolledBack, err
		}
	}
	if d.log {
		return false, nil
	}
	return false, t.measure(true)
}

// firstLines reports whether metrics are logged after a step whatever the
// interval is, so that a user soon sees whether a run learns.
func firstLines(step int64) bool { return step == 1 || step == 10 }

// catchUp takes over what the process before left undone at the step that the run is
// resumed from: the steps that no line of metrics contains yet, and the evaluation and
// the samples, if they are due and a signal kept it from making them.
func (t *Trainer) catchUp(ctx context.Context, evaluate, sample bool) error {
	if losses := t.state.Recent.Loss; len(losses) > 0 {
		t.loss = float64(losses[len(losses)-1]) // samples are judged by it
	}
	t.carry()
	missing := [2]bool{evaluate, sample}
	if t.leads() {
		missing = [2]bool{evaluate && !t.logs.Evaluated(t.state.Step), sample && !t.logs.Sampled(t.state.Step)}
	}
	if err := tellJSON(t.group, &missing); err != nil {
		return err
	}
	return t.examine(ctx, missing[0], missing[1])
}

// carry takes over the steps since the last line of metrics, so that the next line
// is the one of a run that was not interrupted.
func (t *Trainer) carry() {
	recent := &t.state.Recent
	if !t.leads() {
		return
	}
	last := len(recent.Loss)
	n := int(t.state.Step - t.logs.Logged())
	if n > last {
		return
	}
	for i := last - n; i < last; i++ {
		s := graph.StepResult{Loss: recent.Loss[i], GradNorm: recent.Norm[i]}
		if len(recent.Divergence) == last {
			s.Divergence = recent.Divergence[i]
		}
		t.unlogged = append(t.unlogged, s)
	}
	t.carried = len(t.unlogged)
}

// review reads the steps since the last time from the device, and responds to what
// is wrong with them.
func (t *Trainer) review() (rolledBack bool, err error) {
	found, err := t.observe()
	if err != nil {
		return false, err
	}
	return t.respond(found, nil)
}

// examine evaluates and samples. If ctx ends before or meanwhile, the rest is left
// out and ctx's error is returned.
func (t *Trainer) examine(ctx context.Context, evaluate, sample bool) error {
	for _, do := range []struct {
		due bool
		do  func(context.Context) error
	}{{evaluate, t.evaluate}, {sample, t.sample}} {
		if !do.due {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := do.do(ctx); err != nil {
			return err
		}
	}
	return nil
}
