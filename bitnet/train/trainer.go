package train

import (
	"context"
	"fmt"
	"os"
	"time"

	"bitnet/bitnet/cluster"
	"bitnet/bitnet/infer"
	"bitnet/bitnet/model"
	"bitnet/bitnet/runs"
	"bitnet/bitnet/task"
	"bitnet/bitnet/task/catalog"
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

	dev      *gpu.Device
	model    *model.Model
	task     task.Task
	program  *graph.Program
	batches  []*data.Batch // of the largest step, those of all ranks
	growth   growth
	ramping  bool              // the program is that of steps which quantise only in part
	variants map[string]string // of the products of all programs
	state    runs.State
	saved    int64 // step of the newest checkpoint, -1 for none
	savedAt  time.Time
	events   Events
	unlock   func()
	place    os.FileInfo // of the run directory, when training began
	report
	watch watch
	best  best
	peers peers
	base  base // of adapters
	noise noise

	// Of a run that several ranks share; see ranks.go.
	group    *cluster.Group
	share    share
	exchange *exchange
	ranks    []runs.Rank
	mixed    bool  // they compute on different cards
	compared int64 // the step at which weights were compared
}

// Begin plans the step, compiles it on a device, sets the weights and makes the
// run directory. It ends the job, even if it fails.
func (j *Job) Begin(ctx context.Context, dev *gpu.Device) (_ *Trainer, err error) {
	t := &Trainer{
		Config: j.config, Run: j.run, dev: dev, task: j.task, state: j.state, saved: -1,
		events: j.events, unlock: j.unlock, watch: newWatch(), group: j.start.Group, share: j.share,
	}
	j.unlock = nil
	t.peers.Peers = j.start.Peers
	defer func() {
		if err != nil {
			t.Close()
		}
	}()
	defer t.group.Busy()()
	c := &t.Config
	if c.Output.Prompts == nil {
		c.Output.Prompts = t.task.Prompts()
	}
	if err := t.agreePrecision(); err != nil {
		return nil, err
	}
	t.ramping = c.Train.ramps(t.state.Step)
	if t.model, t.Plan, err = plan(c, t.share, dev.Adapter(), t.ramping); err != nil {
		return nil, err
	}
	t.settlePrecision()
	plans, err := t.plans()
	if err != nil {
		return nil, err
	}
	variants, err := chooseVariants(ctx, j, dev, plans)
	if err != nil {
		return nil, err
	}
	t.variants = variants.Products.Variants()
	if err := t.Plan.Use(t.variants); err != nil {
		return nil, err
	}
	if t.Plan.Again() > 0 {
		t.events.note("memory " + string(c.Train.Memory) + ": " + keeps(t.Plan))
	}
	if err := t.model.Allocate(dev); err != nil {
		return nil, err
	}
	if err := t.compile(t.variants); err != nil {
		return nil, err
	}
	if err := t.setWeights(j); err != nil {
		return nil, err
	}
	if err := t.loadTeacher(); err != nil {
		return nil, err
	}
	newBatch := data.NewBatch
	if catalog.Packed(c.Data.Source) {
		newBatch = data.NewPackedBatch
	}
	t.growth = c.Train.growth()
	for range t.share.Accum * t.growth.most() * t.group.Size() {
		t.batches = append(t.batches, newBatch(t.share.Rows, c.Train.SeqLen))
	}
	if err := t.makeNoise(); err != nil {
		return nil, err
	}
	if err := t.joinRanks(); err != nil {
		return nil, err
	}
	return t, t.openRun(j, variants, plans)
}

// joinRanks makes ready what ranks share.
func (t *Trainer) joinRanks() (err error) {
	if t.group.Size() == 1 {
		return nil
	}
	if err := t.introduce(); err != nil {
		return err
	}
	if err := t.checkSameData(); err != nil {
		return err
	}
	t.exchange, err = newExchange(t.group, t.program, t.Plan, t.model.Params, t.Config.Train.Exchange)
	return err
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
	tok := t.task.Tokenizer()
	switch {
	case t.model.Adapted():
		return t.setAdapters(j)
	case j.resumed:
		return t.restore(j.from, t.state)
	case j.from != "" && t.leads() && j.own != nil && tok != nil && tok.Size() > j.own.Size():
		if err := t.model.LoadExtended(j.from, j.own.Size(), tok.Size()); err != nil {
			return err
		}
	case j.from != "" && t.leads():
		if err := t.model.LoadMasters(j.from); err != nil {
			return err
		}
	default:
		if err := t.model.Initialize(t.Config.Train.Seed); err != nil {
			return err
		}
	}
	if t.group.Size() == 1 {
		return nil
	}
	_, err := t.takeOver(graph.Master)
	return err
}

// openRun makes the directory of a new run, or brings that of a resumed one up
// to date.
func (t *Trainer) openRun(j *Job, variants *tune.File, plans []*graph.Plan) (err error) {
	if !t.leads() {
		t.Run = &runs.Run{} // only rank 0 has one
		return nil
	}
	if t.Run != nil {
		if err := t.Run.Sweep(); err != nil {
			return err
		}
		if err := keepVariants(t.Run, variants, plans); err != nil {
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
	if err := keepVariants(t.Run, variants, plans); err != nil {
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
	if t.noise.meter != nil {
		t.noise.meter.Release()
	}
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

// TokensPerStep is that of the configuration.
func (t *Trainer) TokensPerStep() int64 { return t.Config.TokensPerStep() }

// Advance starts one optimizer step on the device. It allocates nothing and
// reads nothing back.
func (t *Trainer) Advance() error {
	c := &t.Config.Train
	if err := t.skipBatches(); err != nil {
		return err
	}
	if err := t.followRamp(); err != nil {
		return err
	}
	t.watch.starts[t.state.Step%graph.HistorySlots] = t.task.Train().Position()
	batches := t.stepBatches(t.state.Step)
	if err := t.readBatches(batches); err != nil {
		return err
	}
	counted := lossTokens(batches...) // on all ranks
	err := t.model.Params.SetStep(graph.StepValues{
		Step: t.state.Step, Absent: t.state.Absent, LearningRate: t.learningRate(t.state.Step), WeightDecay: c.weightDecay(t.state.Step),
		LossTokens: counted, MaxNorm: c.MaxGradNorm, Beta1: c.Beta1, Beta2: c.Beta2, Ramp: c.ramp(t.state.Step),
	})
	if err != nil {
		return err
	}
	each := len(batches) / t.group.Size()
	own := batches[t.group.Rank()*each:][:each]
	m, err := t.beginMeasurement(own, counted)
	if err == nil {
		err = t.runMicroBatches(own, m)
	}
	if err != nil {
		return err
	}
	t.state.Step++
	t.state.TokensSeen += int64(len(batches) * len(batches[0].Inputs))
	t.state.Position = t.task.Train().Position()
	return nil
}

// runMicroBatches computes this rank's micro-batches of a step, and updates the
// weights; m is the measurement of the step, or nil.
func (t *Trainer) runMicroBatches(own []*data.Batch, m *measurement) (err error) {
	last := len(own) - 1
	for i, b := range own {
		if err == nil {
			err = infer.LoadBatch(t.program, b, t.Config.Model.VocabSize)
		}
		switch {
		case err != nil:
		case i < last:
			if err = t.program.MicroBatch(); err == nil && i == 0 && m != nil {
				err = t.noise.meter.Measure()
			}
		case t.exchange != nil:
			if err = t.exchange.run(m); err == nil {
				err = t.program.Update()
			}
		default:
			err = t.program.Step()
		}
	}
	return err
}

// stepBatches are the batches of a step, from 0.
func (t *Trainer) stepBatches(step int64) []*data.Batch {
	return t.batches[:t.share.Accum*t.growth.at(step)*t.group.Size()]
}

func (t *Trainer) readBatches(batches []*data.Batch) error {
	for _, b := range batches {
		if err := t.task.Train().Next(b); err != nil {
			return fmt.Errorf("reading the training data: %w", err)
		}
	}
	return nil
}

// Profile runs one more micro-batch and update, and times each kernel.
func (t *Trainer) Profile() ([]graph.Timing, error) { return t.program.Profile() }
