package train

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"bitnet/bitnet/model"
	"bitnet/bitnet/runs"
	"bitnet/bitnet/task"
	"bitnet/data"
	"bitnet/gpu"
	"bitnet/graph"
	"bitnet/graph/tune"
)

// Trainer is a run on a device.
type Trainer struct {
	Config Config // final: it no longer changes
	Run    *runs.Run
	Plan   *graph.Plan

	dev     *gpu.Device
	model   *model.Model
	task    task.Task
	program *graph.Program
	batches []*data.Batch
	state   runs.State
	saved   int64 // step of the newest checkpoint, -1 for none
	savedAt time.Time
	events  Events
	unlock  func()
	place   os.FileInfo // of the run directory, when training began
	report
	watch watch
	best  best
}

// Begin plans the step, compiles it on a device, sets the weights and makes the
// run directory. It ends the job, even if it fails.
func (j *Job) Begin(ctx context.Context, dev *gpu.Device) (_ *Trainer, err error) {
	t := &Trainer{
		Config: j.config, Run: j.run, dev: dev, task: j.task, state: j.state, saved: -1,
		events: j.events, unlock: j.unlock, watch: newWatch(),
	}
	j.unlock = nil
	defer func() {
		if err != nil {
			t.Close()
		}
	}()
	c := &t.Config
	if c.Output.Prompts == nil {
		c.Output.Prompts = t.task.Prompts()
	}
	if t.model, t.Plan, err = plan(c, dev.Adapter()); err != nil {
		return nil, err
	}
	t.settlePrecision()
	variants, err := chooseVariants(ctx, j, dev, t.Plan)
	if err != nil {
		return nil, err
	}
	if err := t.Plan.Use(variants.Products.Variants()); err != nil {
		return nil, err
	}
	if err := t.model.Allocate(dev); err != nil {
		return nil, err
	}
	if t.program, err = t.Plan.Compile(dev); err != nil {
		return nil, err
	}
	if err := t.setWeights(j); err != nil {
		return nil, err
	}
	for range c.Train.GradAccum {
		t.batches = append(t.batches, data.NewBatch(c.Train.BatchSize, c.Train.SeqLen))
	}
	return t, t.openRun(j, variants)
}

// settlePrecision records the precision that auto stands for here: a resumed run
// keeps it on every machine.
func (t *Trainer) settlePrecision() {
	switch ps, p := t.model.Params, &t.Config.Train.Precision; {
	case *p == graph.AutoPrecision:
		*p = ps.Precision.String()
		if ps.Precision != graph.Float32 {
			t.events.note(fmt.Sprintf("precision %s: gradients and output head are computed on matrix units (--precision f32 keeps them in float32)", ps.Precision))
		}
	case !ps.Limits.Speeds(ps.Precision):
		t.events.note(fmt.Sprintf("precision %s: %s has no matrix units for it, or its backend cannot use them: rounding is the same, but it is not faster", ps.Precision, t.dev.Adapter().Name))
	}
}

func (t *Trainer) setWeights(j *Job) error {
	switch {
	case j.run != nil:
		return t.restore(j.from, t.state)
	case j.from != "":
		return t.model.LoadMasters(j.from)
	}
	return t.model.Initialize(t.Config.Train.Seed)
}

// openRun makes the directory of a new run, or brings that of a resumed one up
// to date.
func (t *Trainer) openRun(j *Job, variants *tune.File) (err error) {
	if t.Run != nil {
		if err := t.Run.Sweep(); err != nil {
			return err
		}
		if err := keepVariants(t.Run, variants, t.Plan); err != nil {
			return err
		}
		return t.Run.WriteConfig(t.Config.YAML())
	}
	id := j.start.RunID
	if id == "" {
		id = runName(t.Config.Name, time.Now())
	}
	if t.Run, err = runs.Create(j.start.RunsDir, id, t.Config.YAML()); err != nil {
		return err
	}
	if t.unlock, err = t.Run.Lock(); err != nil {
		return err
	}
	if err := keepVariants(t.Run, variants, t.Plan); err != nil {
		return err
	}
	return t.writeProvenance(j.start.Init)
}

// runName is the default name of a run: bitnet_<experiment>_<time>.
func runName(experiment string, now time.Time) string {
	return fmt.Sprintf("bitnet_%s_%s", experiment, now.Format("20060102_150405"))
}

// Close unlocks the run and frees what it holds on the device.
func (t *Trainer) Close() {
	t.report.release()
	if t.program != nil {
		t.program.Release()
	}
	if t.model != nil {
		t.model.Release()
	}
	if t.unlock != nil {
		t.unlock()
		t.unlock = nil
	}
}

// Step is how many steps are finished.
func (t *Trainer) Step() int64 { return t.state.Step }

// TokensPerStep is how many tokens a step reads.
func (t *Trainer) TokensPerStep() int64 { return t.Config.TokensPerStep() }

// Advance starts one optimizer step on the device. It allocates nothing and
// reads nothing back.
func (t *Trainer) Advance() error {
	c := &t.Config.Train
	if err := t.skipBatches(); err != nil {
		return err
	}
	t.watch.starts[t.state.Step%graph.HistorySlots] = t.task.Train().Position()
	if err := t.readBatches(t.batches); err != nil {
		return err
	}
	counted := 0
	for _, b := range t.batches {
		for _, id := range b.Targets {
			if id != data.Ignore {
				counted++
			}
		}
	}
	err := t.model.Params.SetStep(graph.StepValues{
		Step: t.state.Step, LearningRate: c.learningRate(t.state.Step), WeightDecay: c.weightDecay(t.state.Step),
		LossTokens: counted, MaxNorm: c.MaxGradNorm, Beta1: c.Beta1, Beta2: c.Beta2,
	})
	last := len(t.batches) - 1
	for i, b := range t.batches {
		if err == nil {
			err = t.program.Load(b.Inputs, b.Targets, t.Config.Model.VocabSize)
		}
		switch {
		case err != nil:
		case i < last:
			err = t.program.MicroBatch()
		default:
			err = t.program.Step()
		}
	}
	if err != nil {
		return err
	}
	t.state.Step++
	t.state.TokensSeen += int64(len(t.batches) * len(t.batches[0].Inputs))
	t.state.Position = t.task.Train().Position()
	return nil
}

func (t *Trainer) readBatches(batches []*data.Batch) error {
	for _, b := range batches {
		if err := t.task.Train().Next(b); err != nil {
			return fmt.Errorf("reading the training data: %w", err)
		}
	}
	return nil
}

// firstLines reports whether metrics are logged after a step whatever the
// interval is, so that a user soon sees whether a run learns.
func firstLines(step int64) bool { return step == 1 || step == 10 }

// Train runs to the last step, or until the validation loss no longer improves
// (train.early_stopping), or until ctx ends; then it saves a checkpoint and
// returns ctx's error. What a person would wait for, samples and evaluations,
// is left out then; a resumed run catches up on it.
func (t *Trainer) Train(ctx context.Context) error {
	if err := t.Run.SetAside(t.state.Step, t.events.note); err != nil {
		return fmt.Errorf("setting aside checkpoints: %w", err)
	}
	if err := t.openLogs(); err != nil {
		return err
	}
	defer t.logs.Close()
	err := t.findBest()
	if err != nil {
		return err
	}
	if t.place, err = os.Stat(t.Run.Dir); err != nil {
		return fmt.Errorf("looking at the run directory: %w", err)
	}
	c, o := &t.Config.Train, &t.Config.Output
	if c.OnAnomaly == runs.RollBack && t.saved < 0 {
		if err := t.save(); err != nil { // a rollback needs one
			return err
		}
	}
	every := func(interval int) bool { return interval > 0 && t.state.Step%int64(interval) == 0 }
	if t.state.Step > 0 {
		if err := t.catchUp(ctx, every(o.EvalInterval), every(o.SampleInterval)); err != nil {
			return err
		}
		if t.exhausted() {
			t.stopEarly()
			return nil
		}
	}
	t.began = time.Now()
	t.savedAt = t.began
	for t.state.Step < int64(c.Steps) {
		if err := t.Advance(); err != nil {
			return err
		}
		if t.events.Step != nil {
			t.events.Step(t.state.Step)
		}
		last := t.state.Step == int64(c.Steps)
		stop := ctx.Err() != nil
		log := last || stop || every(o.LogInterval) || firstLines(t.state.Step) || t.state.Step-t.observed == graph.HistorySlots
		overdue := o.CheckpointMinutes > 0 && time.Since(t.savedAt).Minutes() >= o.CheckpointMinutes
		save := last || stop || overdue || every(o.CheckpointInterval) || c.stageBoundary(t.state.Step)
		evaluate := last || every(o.EvalInterval)
		mayBeBest := evaluate && t.Config.keepsBest()
		if (log || save || mayBeBest) && !t.present() {
			return t.rescue()
		}
		if log || save || mayBeBest { // no checkpoint may hold NaN or infinity
			rolledBack, err := t.review()
			if err != nil {
				return err
			}
			if rolledBack {
				t.began = time.Now()
				continue
			}
		}
		if log {
			if err := t.measure(save || evaluate || t.sharesDue()); err != nil {
				return err
			}
		}
		pause := time.Now() // what follows is not training time
		err := t.examine(ctx, evaluate, last || every(o.SampleInterval))
		if err != nil && errors.Is(err, ctx.Err()) {
			rolledBack := false
			if err = nil; !log && !save && !mayBeBest {
				rolledBack, err = t.review()
			}
			if err == nil && !rolledBack && !log {
				err = t.measure(true)
			}
			if err == nil && rolledBack {
				continue
			}
			stop, save = true, true
		}
		if err != nil {
			return err
		}
		early := t.exhausted() && !stop && !last
		if early && !log {
			t.began = t.began.Add(time.Since(pause))
			if err := t.measure(true); err != nil {
				return err
			}
		}
		if save || early || t.best.kept == t.state.Step {
			if err := t.save(); err != nil {
				return err
			}
		}
		t.began = t.began.Add(time.Since(pause))
		if stop && !last {
			return ctx.Err()
		}
		if early {
			t.stopEarly()
			return nil
		}
	}
	return nil
}

// catchUp takes over what the process before left undone at the step that the run is
// resumed from: the steps that no line of metrics contains yet, and the evaluation and
// the samples, if they are due and a signal kept it from making them.
func (t *Trainer) catchUp(ctx context.Context, evaluate, sample bool) error {
	if losses := t.state.Recent.Loss; len(losses) > 0 {
		t.loss = float64(losses[len(losses)-1]) // samples are judged by it
	}
	t.carry()
	return t.examine(ctx, evaluate && !t.logs.Evaluated(t.state.Step), sample && !t.logs.Sampled(t.state.Step))
}

// carry takes over the steps since the last line of metrics, so that the next line
// is the one of a run that was not interrupted.
func (t *Trainer) carry() {
	recent := &t.state.Recent
	last := len(recent.Loss)
	n := int(t.state.Step - t.logs.Logged())
	if n > last {
		return
	}
	for i := last - n; i < last; i++ {
		t.unlogged = append(t.unlogged, graph.StepResult{Loss: recent.Loss[i], GradNorm: recent.Norm[i]})
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

// Profile runs one more micro-batch and update, and times each kernel.
func (t *Trainer) Profile() ([]graph.Timing, error) { return t.program.Profile() }
