package bitnet

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"bitnet/data"
	"bitnet/data/atomicfile"
	"bitnet/data/tokenizer"
	"bitnet/gpu"
	"bitnet/graph"
)

// Metrics is a line of logs/metrics.jsonl.
type Metrics struct {
	Step         int64                 `json:"step"`      // finished steps
	Loss         float64               `json:"loss"`      // of this step
	LossMean     float64               `json:"loss_mean"` // since the last line
	LR           float64               `json:"lr"`
	WeightDecay  float64               `json:"wd"`
	GradNorm     float64               `json:"grad_norm"` // before clipping
	StepTimeMS   float64               `json:"step_time_ms"`
	TokensPerSec float64               `json:"tokens_per_sec"`
	TokensSeen   int64                 `json:"tokens_seen"`
	Memory       int64                 `json:"device_memory_bytes"`
	Ternary      map[string][3]float64 `json:"ternary,omitempty"` // shares of -1, 0, +1; not in every line
}

// Sample is a line of logs/samples.jsonl.
type Sample struct {
	Step   int64  `json:"step"`
	Mode   string `json:"mode"`
	Prompt string `json:"prompt"`
	Text   string `json:"text"`
	// Entropy of the distributions that the tokens were chosen from, mean in nats.
	Entropy float64 `json:"entropy"`
}

// Events are told what happens while a run goes on; each may be nil.
type Events struct {
	Note       func(string)      // also from another goroutine
	Prepare    func(Preparation) // several times a second, from another goroutine
	Step       func(step int64)  // handed to the device
	Metrics    func(Metrics)
	Eval       func(EvalResult)
	Samples    func([]Sample)
	Checkpoint func(step int64, dir string)
	Anomaly    func(Anomaly)
}

func (e Events) note(s string) {
	if e.Note != nil {
		e.Note(s)
	}
}

// Trainer is a run that is under way.
type Trainer struct {
	Config *Config
	Dir    string // the run directory
	Plan   *graph.Plan

	dev     *gpu.Device
	model   *Model
	corpus  *corpus
	program *graph.Program
	batches []*data.Batch
	state   State
	saved   int64 // step of the newest checkpoint, -1 for none
	savedAt time.Time
	events  Events
	report
	watch anomalyWatch
}

// Start says where a run begins.
type Start struct {
	RunsDir, RunID string
	Resume         string // a run or checkpoint directory, or ""
	State          *State // of Resume if that is a checkpoint that FindCheckpoint found whole, or nil
	Init           string // a model directory whose weights to begin with, or ""
}

// Prepare plans a run, with the default kernels, without touching the disk or a
// device's memory.
func Prepare(c *Config, a gpu.Adapter) (*Model, *graph.Plan, error) { return prepare(c, a, nil) }

func prepare(c *Config, a gpu.Adapter, tuning graph.Tuning) (*Model, *graph.Plan, error) {
	if err := c.Check(); err != nil {
		return nil, nil, err
	}
	m := NewModel(c.Model, a)
	if err := m.Params.SetPrecision(c.Train.Precision); err != nil {
		return nil, nil, err
	}
	m.Params.Tuning = tuning
	if err := m.Params.Layout(true); err != nil {
		return nil, nil, err
	}
	g := graph.New(m.Params, c.Train.BatchSize, c.Train.SeqLen)
	g.Loss(m.forward(g), m.embed)
	plan, err := g.PlanTraining(graph.AdamW{Beta1: float32(c.Train.Beta1), Beta2: float32(c.Train.Beta2), Eps: float32(c.Train.Eps)})
	return m, plan, err
}

// NewTrainer makes everything ready for the first step. Everything is checked
// before the run directory is made.
func NewTrainer(ctx context.Context, c *Config, dev *gpu.Device, start Start, events Events) (*Trainer, error) {
	t := &Trainer{Config: c, dev: dev, saved: -1, events: events}
	t.watch.quiet, t.watch.ongoing, t.watch.dumps = map[AnomalyKind]int64{}, map[AnomalyKind]bool{}, map[AnomalyKind]int{}
	t.state.Seed = c.Train.Seed
	var err error
	var from string
	if start.Resume != "" {
		from = filepath.Clean(start.Resume)
		if start.State != nil {
			t.state = *start.State
		} else if from, t.state, err = FindCheckpoint(start.Resume, events.note); err != nil {
			return nil, err
		}
		if filepath.Base(filepath.Dir(from)) != "checkpoints" {
			return nil, fmt.Errorf("%s does not lie in a run's checkpoints folder: use --init to start a new run from it", from)
		}
		if pid := trainedBy(filepath.Dir(filepath.Dir(from))); pid != 0 {
			return nil, fmt.Errorf("process %d is training %s: wait for it, or stop it with Ctrl-C or kill %d", pid, start.Resume, pid)
		}
		if t.state.Step >= int64(c.Train.Steps) {
			return nil, fmt.Errorf("%s has finished its %d steps: give --num-steps to go on", from, t.state.Step)
		}
	} else if start.Init != "" {
		from = start.Init
	}
	var tok *tokenizer.Tokenizer
	if from != "" {
		if got, err := ReadModelConfig(from); err != nil {
			return nil, err
		} else if got != c.Model {
			return nil, fmt.Errorf("%s holds another model than the configuration: %+v, not %+v", from, got, c.Model)
		}
		if _, err := os.Stat(filepath.Join(from, "tokenizer.json")); err == nil {
			if tok, err = tokenizer.Load(from); err != nil {
				return nil, err
			}
		}
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	if t.corpus, err = openCorpus(ctx, c, tok, from != "", events); err != nil {
		return nil, err
	}
	var tuning *TuningFile
	if start.Resume != "" {
		tuning = runTuning(from, c, dev.Adapter(), events.note)
	}
	if t.model, t.Plan, err = prepareTuned(ctx, c, dev, tuning, events.note); err != nil {
		return nil, err
	}
	switch ps := t.model.Params; {
	case c.Train.Precision == graph.AutoPrecision:
		// The run goes on with it wherever it is resumed.
		c.Train.Precision = ps.Precision.String()
		if ps.Precision != graph.Float32 {
			events.note(fmt.Sprintf("precision %s: gradients and output head are computed on matrix units (--precision f32 leaves them in float32)", ps.Precision))
		}
	case !ps.Limits.Speeds(ps.Precision):
		events.note(fmt.Sprintf("precision %s: %s has no matrix units for it, or its backend does not reach them, so it rounds the same but gains no speed", ps.Precision, dev.Adapter().Name))
	}
	if err := t.model.Params.Allocate(dev); err != nil {
		return nil, err
	}
	if t.program, err = t.Plan.Compile(dev); err != nil {
		return nil, err
	}
	switch {
	case start.Resume != "":
		err = t.restore(from, t.state)
	case from != "":
		if err = t.model.loadWeights(filepath.Join(from, weightsName), graph.Master, ""); err == nil {
			err = t.model.Params.Quantize(dev)
		}
	default:
		if err = t.model.Initialize(c.Train.Seed); err == nil {
			err = t.model.Params.Quantize(dev)
		}
	}
	if err != nil {
		return nil, err
	}
	for range c.Train.GradAccum {
		t.batches = append(t.batches, data.NewBatch(c.Train.BatchSize, c.Train.SeqLen))
	}
	if start.Resume != "" {
		// A checkpoint of a run goes on in the run's directory.
		t.Dir = filepath.Dir(filepath.Dir(from))
		if err := sweep(t.Dir); err != nil {
			return nil, fmt.Errorf("cleaning up after the run: %w", err)
		}
		if err := t.writeTuning(); err != nil {
			return nil, err
		}
		return t, atomicfile.Write(filepath.Join(t.Dir, "config.yaml"), c.YAML())
	}
	if start.RunID == "" {
		start.RunID = RunName(c, time.Now())
	}
	if t.Dir, err = CreateRun(start.RunsDir, start.RunID, c); err != nil {
		return nil, err
	}
	if err := t.writeTuning(); err != nil {
		return nil, err
	}
	return t, t.writeProvenance(start)
}

// restore goes to where a checkpoint stands.
func (t *Trainer) restore(dir string, state State) error {
	optimizer := filepath.Join(dir, "optimizer.safetensors")
	err := t.model.loadWeights(filepath.Join(dir, weightsName), graph.Master, "")
	if err == nil {
		err = t.model.loadWeights(optimizer, graph.FirstMoment, "m.")
	}
	if err == nil {
		err = t.model.loadWeights(optimizer, graph.SecondMoment, "v.")
	}
	if err == nil {
		err = t.model.Params.Quantize(t.dev)
	}
	if err == nil {
		err = t.corpus.train.Seek(state.Position)
	}
	if err != nil {
		return err
	}
	t.state, t.saved, t.observed, t.unlogged = state, state.Step, state.Step, t.unlogged[:0]
	return nil
}

// step starts one optimizer step on the device. It allocates nothing and
// reads nothing back.
func (t *Trainer) step() error {
	c := &t.Config.Train
	if err := t.skipBatches(); err != nil {
		return err
	}
	t.watch.starts[t.state.Step%graph.HistorySlots] = t.corpus.train.Position()
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
	for i, b := range t.batches {
		if err == nil {
			err = t.program.Load(b.Inputs, b.Targets, t.Config.Model.VocabSize)
		}
		if err == nil {
			err = t.program.Run(i == len(t.batches)-1)
		}
	}
	if err != nil {
		return err
	}
	t.state.Step++
	t.state.TokensSeen += int64(len(t.batches) * len(t.batches[0].Inputs))
	t.state.Position = t.corpus.train.Position()
	return nil
}

func (t *Trainer) readBatches(batches []*data.Batch) error {
	for _, b := range batches {
		if err := t.corpus.train.Next(b); err != nil {
			return fmt.Errorf("reading the training data: %w", err)
		}
	}
	return nil
}

// Run trains to the last step, or until ctx ends; then it saves a checkpoint
// and returns ctx's error.
func (t *Trainer) Run(ctx context.Context) error {
	if err := markAlive(t.Dir); err != nil {
		return err
	}
	defer unmarkAlive(t.Dir)
	if err := setAside(t.Dir, t.state.Step, t.events.note); err != nil {
		return fmt.Errorf("setting aside checkpoints: %w", err)
	}
	if err := t.openLogs(); err != nil {
		return err
	}
	defer func() {
		t.closeLogs()
		t.board.close()
		t.watch.log.close()
	}()
	c, o := &t.Config.Train, &t.Config.Output
	if c.OnAnomaly == RollBack && t.saved < 0 {
		if err := t.save(); err != nil { // to have one to go back to
			return err
		}
	}
	every := func(interval int) bool { return interval > 0 && t.state.Step%int64(interval) == 0 }
	t.began = time.Now()
	t.savedAt = t.began
	for t.state.Step < int64(c.Steps) {
		if err := t.step(); err != nil {
			return err
		}
		if t.events.Step != nil {
			t.events.Step(t.state.Step)
		}
		last := t.state.Step == int64(c.Steps)
		stop := ctx.Err() != nil
		log := last || stop || every(o.LogInterval) || t.state.Step-t.observed == graph.HistorySlots
		overdue := o.CheckpointMinutes > 0 && time.Since(t.savedAt).Minutes() >= o.CheckpointMinutes
		save := last || stop || overdue || every(o.CheckpointInterval) || c.stageBoundary(t.state.Step)
		if log || save { // nothing that is not finite gets into a checkpoint
			found, err := t.observe()
			if err != nil {
				return err
			}
			rolledBack, err := t.respond(found, nil)
			if err != nil {
				return err
			}
			if rolledBack {
				t.began = time.Now()
				continue
			}
		}
		evaluate := !stop && (last || every(o.EvalInterval))
		if log {
			if err := t.measure(save || evaluate || t.sharesDue()); err != nil {
				return err
			}
		}
		besides := time.Now() // what is done besides training is not training time
		if evaluate {
			if err := t.evaluate(); err != nil {
				return err
			}
		}
		if !stop && (last || every(o.SampleInterval)) {
			if err := t.sample(); err != nil {
				return err
			}
		}
		if save {
			if err := t.save(); err != nil {
				return err
			}
		}
		t.began = t.began.Add(time.Since(besides))
		if stop && !last {
			return ctx.Err()
		}
	}
	return nil
}

func (t *Trainer) save() error {
	if t.saved == t.state.Step {
		return nil
	}
	dir := t.checkpointDir(t.state.Step)
	if err := SaveCheckpoint(dir, t.model, t.corpus.tokenizer, t.Config, t.state); err != nil {
		return err
	}
	t.saved, t.savedAt = t.state.Step, time.Now()
	if t.events.Checkpoint != nil {
		t.events.Checkpoint(t.saved, dir)
	}
	return prune(t.Dir, t.Config.Output.KeepCheckpoints, t.Config.Train)
}

func (t *Trainer) checkpointDir(step int64) string {
	return filepath.Join(t.Dir, "checkpoints", fmt.Sprintf("step_%08d", step))
}

// Step is how many steps are finished.
func (t *Trainer) Step() int64 { return t.state.Step }
