package sweep

import (
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"time"

	"bitnet/bitnet/runs"
	"bitnet/bitnet/train"
)

// Sweep is a plan and its folder.
type Sweep struct {
	Dir  string
	Plan *Plan
}

// Trainer trains a run as bitnet.Train does: it gives ctx's error when ctx ended
// it, and then the run has a checkpoint.
type Trainer func(ctx context.Context, c *train.Config, start train.Start, events train.Events) error

// Budget limits a sweep; 0 is no limit.
type Budget struct {
	Trials int   // that are begun
	Tokens int64 // that all trials together train on
}

// Leg is a part of a trial that one call of a Trainer trains: a round of it.
type Leg struct {
	Trial Trial
	Round int // from 0
	Until int // the step at which the round ends
	Steps int // that the trial would have in all
	Left  int // trials that still wait in this round, this one included
}

// Observer is called when something happens in a sweep; each may be nil.
type Observer struct {
	Note  func(string)
	Begin func(Leg)
	Eval  func(Leg, runs.Eval)
	Step  func(leg Leg, step int64)
	End   func(leg Leg, stopped string) // stopped says why the trial counts as bad
}

// ErrBudget says that the budget was spent before the sweep's end.
var ErrBudget = errors.New("the budget is spent")

// errRound ends the context of a leg at the end of its round.
var errRound = errors.New("the round has ended")

// knownBad ends the context of a leg that cannot become good.
type knownBad struct{ why string }

func (b knownBad) Error() string { return b.why }

// poll is how long a process waits for trials that other processes train.
const poll = time.Second

// Run trains until nothing is left to do, the budget is spent (ErrBudget), or ctx
// ends. Several processes may run the same sweep.
func (s *Sweep) Run(ctx context.Context, b Budget, trainer Trainer, o Observer) error {
	for ctx.Err() == nil {
		leg, release, wait, err := s.next(b)
		if err != nil {
			return err
		}
		if wait {
			select {
			case <-ctx.Done():
			case <-time.After(poll):
			}
			continue
		}
		if leg == nil {
			return nil
		}
		err = s.leg(ctx, *leg, trainer, o)
		release()
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// next claims the next leg to train; nil if nothing is left. wait says that other
// processes must finish theirs first.
func (s *Sweep) next(b Budget) (leg *Leg, release func(), wait bool, err error) {
	p := s.Plan
	points, err := s.points()
	if err != nil {
		return nil, nil, false, err
	}
	begun, tokens := spent(points)
	for round := range p.Rounds {
		var waiting []*entry
		busy := 0
		for _, pt := range points {
			for _, e := range pt.entries {
				if e.record.Stopped == "" && e.record.at(e.ends[round]) == nil {
					waiting = append(waiting, e)
				}
			}
		}
		for _, e := range waiting {
			release, taken, err := s.claim(e.trial)
			if err != nil {
				return nil, nil, false, err
			}
			if taken {
				busy++
				continue
			}
			fresh, err := s.read(e.trial) // another process may just have finished it
			if err != nil {
				release()
				return nil, nil, false, err
			}
			if fresh.Stopped != "" || fresh.at(e.ends[round]) != nil {
				release()
				return nil, nil, true, nil
			}
			more := e.config.TokensBetween(int64(e.reached()), int64(e.ends[round]))
			if !e.record.started && b.Trials > 0 && begun >= b.Trials || b.Tokens > 0 && tokens+more > b.Tokens {
				release()
				return nil, nil, false, ErrBudget
			}
			return &Leg{Trial: e.trial, Round: round, Until: e.ends[round], Steps: e.config.Train.Steps, Left: len(waiting)}, release, false, nil
		}
		if busy > 0 {
			return nil, nil, true, nil
		}
		if round < p.Rounds-1 {
			points = p.survivors(points, round)
		}
	}
	return nil, nil, false, nil
}

// spent counts the trials that were begun, and their tokens.
func spent(points []*point) (begun int, tokens int64) {
	for _, pt := range points {
		for _, e := range pt.entries {
			if e.record.started {
				begun++
			}
			tokens += e.config.TokensBetween(0, int64(e.reached()))
		}
	}
	return begun, tokens
}

// leg trains a trial to the end of a round.
func (s *Sweep) leg(ctx context.Context, leg Leg, trainer Trainer, o Observer) error {
	c, err := s.Plan.Config(leg.Trial)
	if err != nil {
		return err
	}
	if o.Begin != nil {
		o.Begin(leg)
	}
	c, start, err := s.start(leg.Trial, c, o.Note)
	if err != nil {
		return err
	}
	legCtx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	events := train.Events{Note: o.Note}
	if o.Step != nil {
		events.Step = func(step int64) { o.Step(leg, step) }
	}
	var wrong error // in the plan
	events.Eval = func(e runs.Eval) {
		if o.Eval != nil {
			o.Eval(leg, e)
		}
		if _, _, err := s.Plan.value(&e); err != nil {
			wrong = err
			cancel(err)
		} else if why := hopeless(c, e); why != "" {
			cancel(knownBad{why})
		} else if e.Step >= int64(leg.Until) && leg.Until < leg.Steps {
			cancel(errRound)
		}
	}
	events.Anomaly = func(a runs.Anomaly) {
		if a.Kind == runs.NotFinite {
			cancel(knownBad{fmt.Sprintf("loss or gradient is not finite at step %d", a.Step)})
		}
	}
	err = trainer(legCtx, c, start, events)
	return s.judge(ctx, legCtx, leg, errors.Join(wrong, err), wrong != nil, o)
}

// judge writes down how a leg ended.
func (s *Sweep) judge(ctx, legCtx context.Context, leg Leg, err error, fatal bool, o Observer) error {
	var bad knownBad
	cause := context.Cause(legCtx)
	switch {
	case fatal:
		return err
	case errors.As(cause, &bad):
		if err := s.ended(leg.Trial, outcome{Stopped: bad.why}); err != nil {
			return err
		}
	case err == nil && cause == nil:
		if r, err := s.read(leg.Trial); err != nil {
			return err
		} else if r.at(leg.Until) == nil { // train.early_stopping
			if err := s.ended(leg.Trial, outcome{Early: true}); err != nil {
				return err
			}
		}
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil && !errors.Is(cause, errRound):
		return fmt.Errorf("trial %s (%s): %w", leg.Trial.ID, leg.Trial.Name(), err)
	}
	if o.End != nil {
		o.End(leg, bad.why)
	}
	return nil
}

// start says where a trial's run begins or continues, and with which configuration.
func (s *Sweep) start(t Trial, c *train.Config, note func(string)) (*train.Config, train.Start, error) {
	start := train.Start{RunsDir: filepath.Join(s.Dir, trialsDir), RunID: t.ID}
	if note == nil {
		note = func(string) {}
	}
	from, state, err := train.FindCheckpoint(s.runDir(t), note)
	if err != nil {
		return c, start, s.discard(t)
	}
	start.Resume, start.State, start.Newest = from, &state, true
	c, err = train.LoadConfig(filepath.Join(from, "config.yaml"))
	return c, start, err
}

// hopeless says why a trial cannot become good: it predicts worse than one that
// gives every token the same chance does, after its warm-up.
func hopeless(c *train.Config, e runs.Eval) string {
	loss, guess := float64(e.Loss), math.Log(float64(c.Model.VocabSize))
	switch {
	case math.IsNaN(loss) || math.IsInf(loss, 0):
		return fmt.Sprintf("the validation loss is not finite at step %d", e.Step)
	case e.Step > int64(c.Train.WarmupSteps) && loss > guess+0.5:
		return fmt.Sprintf("validation loss %.3g at step %d is worse than guessing (%.3g)", loss, e.Step, guess)
	}
	return ""
}
