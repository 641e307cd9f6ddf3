package bitnet

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"time"

	"bitnet/data"
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
	Ternary      map[string][3]float64 `json:"ternary,omitempty"` // shares of -1, 0, +1
}

// Sample is a line of logs/samples.jsonl.
type Sample struct {
	Step   int64  `json:"step"`
	Mode   string `json:"mode"`
	Prompt string `json:"prompt"`
	Text   string `json:"text"`
}

// Events are told what happens while a run goes on; each may be nil.
type Events struct {
	Note       func(string)
	Metrics    func(Metrics)
	Eval       func(EvalResult)
	Samples    func([]Sample)
	Checkpoint func(dir string)
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
	eval    *Evaluator
	shares  *graph.ShareCounter
	events  Events
}

// Start says where a run begins.
type Start struct {
	RunsDir, RunID string
	Resume         string // a run or checkpoint directory, or ""
	Init           string // a model directory whose weights to begin with, or ""
}

// Prepare plans a run without touching the disk or a device's memory.
func Prepare(c *Config, a gpu.Adapter) (*Model, *graph.Plan, error) {
	if err := c.Check(); err != nil {
		return nil, nil, err
	}
	m := NewModel(c.Model, a)
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
	if events.Note == nil {
		events.Note = func(string) {}
	}
	t := &Trainer{Config: c, dev: dev, saved: -1, events: events}
	t.state.Seed = c.Train.Seed
	var err error
	var from string
	if start.Resume != "" {
		if from, t.state, err = FindCheckpoint(start.Resume, events.Note); err != nil {
			return nil, err
		}
		t.saved = t.state.Step
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
	if t.corpus, err = openCorpus(ctx, c, tok, from != "", events.Note); err != nil {
		return nil, err
	}
	if t.model, t.Plan, err = Prepare(c, dev.Adapter()); err != nil {
		return nil, err
	}
	if err := t.model.Params.Allocate(dev); err != nil {
		return nil, err
	}
	if t.program, err = t.Plan.Compile(dev); err != nil {
		return nil, err
	}
	if t.shares, err = t.model.Params.NewShareCounter(dev); err != nil {
		return nil, err
	}
	if from == "" {
		err = t.model.Initialize(c.Train.Seed)
	} else {
		err = t.model.loadWeights(filepath.Join(from, "model.safetensors"), graph.Master, "")
	}
	if err == nil && start.Resume != "" {
		optimizer := filepath.Join(from, "optimizer.safetensors")
		if err = t.model.loadWeights(optimizer, graph.FirstMoment, "m."); err == nil {
			err = t.model.loadWeights(optimizer, graph.SecondMoment, "v.")
		}
		if err == nil {
			err = t.corpus.train.Seek(t.state.Position)
		}
	}
	if err == nil {
		err = t.model.Params.Quantize(dev)
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
		if filepath.Base(filepath.Dir(from)) != "checkpoints" {
			return nil, fmt.Errorf("%s does not lie in a run's checkpoints folder: use --init to start a new run from it", from)
		}
		sweep(t.Dir)
		return t, writeFile(filepath.Join(t.Dir, "config.yaml"), c.YAML())
	}
	if start.RunID == "" {
		start.RunID = RunName(c, time.Now())
	}
	if t.Dir, err = CreateRun(start.RunsDir, start.RunID, c); err != nil {
		return nil, err
	}
	return t, t.writeProvenance(start)
}

// writeProvenance records what the run was made of.
func (t *Trainer) writeProvenance(start Start) error {
	a := t.dev.Adapter()
	p := map[string]any{
		"started": time.Now().UTC().Format(time.RFC3339), "command": os.Args, "go": runtime.Version(),
		"os": runtime.GOOS, "arch": runtime.GOARCH, "seed": t.Config.Train.Seed,
		"device": a.Name, "driver": a.Driver, "backend": a.Backend, "parameters": t.model.Params.Count(),
	}
	if start.Init != "" {
		p["init"] = start.Init
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" || s.Key == "vcs.modified" {
				p[s.Key] = s.Value
			}
		}
		for _, d := range info.Deps {
			if d.Path == "github.com/cogentcore/webgpu" {
				p["webgpu"] = d.Version
			}
		}
	}
	sum, err := t.firstTokens()
	if err != nil {
		return err
	}
	p["first_1000_tokens_sha256"] = sum
	text, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(t.Dir, "provenance.json"), append(text, '\n'))
}

// firstTokens is the SHA-256 of the first 1,000 input ids, as little-endian uint32.
func (t *Trainer) firstTokens() (string, error) {
	src, h, left := t.corpus.train, sha256.New(), 1000
	at := src.Position()
	b := t.batches[0]
	for left > 0 {
		if err := src.Next(b); err != nil {
			return "", err
		}
		for _, id := range b.Inputs[:min(left, len(b.Inputs))] {
			if err := binary.Write(h, binary.LittleEndian, id); err != nil {
				return "", err
			}
			left--
		}
	}
	return hex.EncodeToString(h.Sum(nil)), src.Seek(at)
}

// step starts one optimizer step on the device. It allocates nothing and
// reads nothing back.
func (t *Trainer) step() error {
	c := &t.Config.Train
	counted := 0
	for _, b := range t.batches {
		if err := t.corpus.train.Next(b); err != nil {
			return fmt.Errorf("reading the training data: %w", err)
		}
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

// ErrDiverged says that the loss is not a number any more.
var ErrDiverged = errors.New("the loss is not finite")

// Run trains to the last step, or until ctx ends; then it saves a checkpoint
// and returns ctx's error.
func (t *Trainer) Run(ctx context.Context) error {
	c, o := &t.Config.Train, &t.Config.Output
	if err := markAlive(t.Dir); err != nil {
		return err
	}
	defer unmarkAlive(t.Dir)
	logs := map[string]*journal{}
	for _, name := range []string{"metrics", "samples", "eval"} {
		j, err := openJournal(filepath.Join(t.Dir, "logs", name+".jsonl"), t.state.Step)
		if err != nil {
			return fmt.Errorf("opening the logs: %w", err)
		}
		defer j.close()
		logs[name] = j
	}
	every := func(interval int) bool { return interval > 0 && t.state.Step%int64(interval) == 0 }
	logged, began := t.state.Step, time.Now()
	for t.state.Step < int64(c.Steps) {
		if err := t.step(); err != nil {
			return err
		}
		last := t.state.Step == int64(c.Steps)
		stop := ctx.Err() != nil
		if last || stop || every(o.LogInterval) || t.state.Step-logged == graph.HistorySlots {
			m, err := t.measure(logged, began)
			if err != nil {
				return err
			}
			logged = t.state.Step
			if err := logs["metrics"].add(m); err != nil {
				return fmt.Errorf("writing metrics: %w", err)
			}
			if t.events.Metrics != nil {
				t.events.Metrics(m)
			}
			if math.IsNaN(m.LossMean) || math.IsInf(m.LossMean, 0) {
				return fmt.Errorf("step %d: %w: resume with --resume %s and a lower --lr", t.state.Step, ErrDiverged, t.Dir)
			}
		}
		if !stop && (last || every(o.EvalInterval)) {
			if err := t.evaluate(logs["eval"]); err != nil {
				return err
			}
		}
		if !stop && (last || every(o.SampleInterval)) {
			if err := t.sample(logs["samples"]); err != nil {
				return err
			}
		}
		if last || stop || every(o.CheckpointInterval) || c.stageBoundary(t.state.Step) {
			if err := t.save(); err != nil {
				return err
			}
		}
		if stop && !last {
			return ctx.Err()
		}
		if logged == t.state.Step {
			began = time.Now() // what was done besides training is not training time
		}
	}
	return nil
}

// measure waits for the device and reads what it recorded since a step.
func (t *Trainer) measure(since int64, began time.Time) (Metrics, error) {
	history, err := t.model.Params.History(since, t.state.Step)
	if err != nil {
		return Metrics{}, err
	}
	took := time.Since(began).Seconds()
	c := &t.Config.Train
	n := float64(len(history))
	last := history[len(history)-1]
	m := Metrics{
		Step: t.state.Step, Loss: float64(last.Loss), GradNorm: float64(last.GradNorm),
		LR: c.learningRate(t.state.Step - 1), WeightDecay: c.weightDecay(t.state.Step - 1),
		StepTimeMS: 1000 * took / n, TokensPerSec: n * float64(c.BatchSize*c.SeqLen*c.GradAccum) / took,
		TokensSeen: t.state.TokensSeen, Memory: t.dev.Stats().Allocated, Ternary: map[string][3]float64{},
	}
	for _, h := range history {
		m.LossMean += float64(h.Loss) / n
	}
	shares, err := t.shares.Count()
	for _, s := range shares {
		m.Ternary[s.Name] = [3]float64{s.Minus, s.Zero, s.Plus}
	}
	return m, err
}

func (t *Trainer) evaluate(log *journal) error {
	if t.corpus.heldOut == nil {
		return nil
	}
	if t.eval == nil {
		var err error
		if t.eval, err = t.model.NewEvaluator(t.dev, t.Config.Train.BatchSize, t.Config.Train.SeqLen); err != nil {
			return err
		}
	}
	src, err := t.corpus.heldOut()
	if err != nil {
		return err
	}
	r, err := t.eval.Loss(src, int64(max(t.Config.Output.EvalSamples, 1)), nil)
	if err != nil {
		return err
	}
	r.Step = t.state.Step
	if err := t.model.examine(t.dev, t.corpus, max(t.Config.Output.EvalSamples, 1), &r); err != nil {
		return err
	}
	if err := log.add(r); err != nil {
		return fmt.Errorf("writing an evaluation: %w", err)
	}
	if t.events.Eval != nil {
		t.events.Eval(r)
	}
	return nil
}

// sampleTokens is how much is generated for each prompt.
const sampleTokens = 48

func (t *Trainer) sample(log *journal) error {
	prompts, tok := t.Config.Output.Prompts, t.corpus.tokenizer
	if len(prompts) == 0 || tok == nil {
		return nil
	}
	g, err := t.model.NewGenerator(t.dev, len(prompts), t.Config.Train.SeqLen)
	if err != nil {
		return err
	}
	defer g.Release()
	var start []uint32
	if bos, ok := tok.BOS(); ok {
		start = append(start, bos)
	}
	ids := make([][]uint32, len(prompts))
	for i, p := range prompts {
		if ids[i], err = tok.Append(append([]uint32(nil), start...), p); err != nil {
			return fmt.Errorf("output.prompts: %w", err)
		}
	}
	eos, ok := tok.EOS()
	if !ok {
		eos = data.Ignore
	}
	out, err := g.Generate(ids, sampleTokens, eos, Greedy)
	if err != nil {
		return err
	}
	var samples []Sample
	for i, p := range prompts {
		s := Sample{t.state.Step, "greedy", p, tok.Decode(out[i])}
		samples = append(samples, s)
		if err := log.add(s); err != nil {
			return fmt.Errorf("writing a sample: %w", err)
		}
	}
	if t.events.Samples != nil {
		t.events.Samples(samples)
	}
	return nil
}

func (t *Trainer) save() error {
	if t.saved == t.state.Step {
		return nil
	}
	dir := filepath.Join(t.Dir, "checkpoints", fmt.Sprintf("step_%08d", t.state.Step))
	if err := SaveCheckpoint(dir, t.model, t.corpus.tokenizer, t.Config, t.state); err != nil {
		return err
	}
	t.saved = t.state.Step
	if t.events.Checkpoint != nil {
		t.events.Checkpoint(dir)
	}
	return prune(t.Dir, t.Config.Output.KeepCheckpoints, t.Config.Train)
}

// Step is how many steps are finished.
func (t *Trainer) Step() int64 { return t.state.Step }
