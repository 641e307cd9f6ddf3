package bitnet

import (
	"context"
	"errors"
	"fmt"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/runs"
	"bitnet/bitnet/train"
	"bitnet/gpu"
	"bitnet/graph/tune"
)

// Config is everything that decides a run.
type Config = train.Config

// Preset gives the configuration of an experiment that comes with the program,
// such as simple, arithmetic, tictactoe, tinystories or baseline.
func Preset(name string) (*Config, error) { return train.Preset(name) }

// LoadConfig reads a configuration from a file, such as config.yaml of a run.
func LoadConfig(path string) (*Config, error) { return train.LoadConfig(path) }

// Device says what to compute on.
type Device struct {
	Backend string // what reaches the adapter; "" is the default
	Adapter string // its number or a part of its name; "" is the best one
	// Turn chooses among several adapters that fit, such as equal cards: the first
	// for 0, the second for 1, and after the last the first again.
	Turn int
}

// Choose finds the adapter.
func (d Device) Choose() (gpu.Adapter, error) {
	all, err := gpu.AdaptersOf(d.Backend)
	if err != nil {
		return gpu.Adapter{}, err
	}
	fitting, err := gpu.ChooseAll(all, d.Adapter)
	if err != nil {
		return gpu.Adapter{}, err
	}
	return all[fitting[d.Turn%len(fitting)]], nil
}

// Open finds the adapter and opens it. note gets a line about each feature that
// is left out because it computes wrong results.
func (d Device) Open(note func(string)) (*gpu.Device, error) {
	a, err := d.Choose()
	if err != nil {
		return nil, err
	}
	dev, err := tune.OpenDevice(a, note)
	if err != nil && d.Adapter == "" {
		return nil, fmt.Errorf("%w: bitnet devices lists the adapters, --device chooses a different one", err)
	}
	return dev, err
}

// TrainOptions say where a run begins, on what it computes, and who hears of it.
type TrainOptions struct {
	train.Start // RunsDir is "runs" by default
	Device      Device
	Events      train.Events
}

// mostLosses is how often in a row a lost device is opened again with no
// checkpoint in between. That helps where a driver crashed.
const mostLosses = 3

// Train trains a model, and gives the run directory. It ends with the last step,
// or when ctx does: then the run has a checkpoint to resume from, and ctx's error
// is returned. A run whose device is lost continues from its newest checkpoint,
// unless it is shared with other ranks (Start.Group): then it ends.
func Train(ctx context.Context, c *Config, o TrainOptions) (run string, err error) {
	if o.RunsDir == "" {
		o.RunsDir = "runs"
	}
	note := o.Events.Note
	if note == nil {
		note = func(string) {}
	}
	for losses := 0; ; losses++ {
		t, err := trainOnce(ctx, c, o, note)
		if t == nil {
			return run, err
		}
		run = t.Run.Dir
		if !errors.Is(err, gpu.ErrDeviceLost) || losses == mostLosses || o.Group != nil { // other ranks do not start again
			return run, err
		}
		from, state, noCheckpoint := train.FindCheckpoint(run, func(string) {})
		if noCheckpoint != nil {
			return run, err
		}
		note(fmt.Sprintf("%v: opening it again, to continue from step %d", err, state.Step))
		if o.State == nil || state.Step > o.State.Step {
			losses = 0
		}
		c, o.Start = &t.Config, train.Start{RunsDir: o.RunsDir, Resume: from, State: &state, Newest: true, Init: o.Init, Peers: o.Peers}
	}
}

// trainOnce trains until the end or an error. The trainer, which is closed, is
// nil if it could not begin.
func trainOnce(ctx context.Context, c *Config, o TrainOptions, note func(string)) (*train.Trainer, error) {
	ready := o.Group.Busy()
	defer ready()
	job, err := train.Prepare(ctx, c, o.Start, o.Events)
	if err != nil {
		return nil, err
	}
	dev, err := o.Device.Open(note)
	if err != nil {
		job.Close()
		return nil, err
	}
	defer dev.Close()
	t, err := job.Begin(ctx, dev)
	if err != nil {
		return nil, err
	}
	defer t.Close()
	if o.Events.Begin != nil {
		o.Events.Begin(t)
	}
	ready()
	return t, t.Train(ctx)
}

// OpenOptions say how a model is opened.
type OpenOptions struct {
	RunsDir string // where a run's name is looked for
	Adapter string // LoRA adapter on the model; "" for none, or that of a run that trained one
	Device  Device
	Context int          // most tokens of a text; 0 for the model's context, up to 4096
	Note    func(string) // gets a line for what is skipped and downloaded
}

// Model is a model that is ready to write. It is for one goroutine at a time.
type Model struct {
	*infer.Model
	session *infer.Session
	dev     *gpu.Device
}

// Open loads a model: the newest checkpoint of a run, a checkpoint, a model
// directory of transformers, or ORG/NAME on the hub.
func Open(ctx context.Context, path string, o OpenOptions) (*Model, error) {
	if o.Note == nil {
		o.Note = func(string) {}
	}
	dev, err := o.Device.Open(o.Note)
	if err != nil {
		return nil, err
	}
	m, err := infer.OpenAdapted(ctx, dev, o.RunsDir, path, o.Adapter, o.Note)
	if err != nil {
		dev.Close()
		return nil, err
	}
	s, err := m.NewSession(o.Context)
	if err != nil {
		dev.Close()
		return nil, err
	}
	return &Model{m, s, dev}, nil
}

// Close frees the model and its device.
func (m *Model) Close() { m.dev.Close() }

// GenerateOptions say how a text is continued. The zero value takes the
// likeliest tokens up to the end of the text or of the context.
type GenerateOptions struct {
	Tokens   int             // at most; 0 for as many as fit the context
	Sampling *infer.Sampling // nil takes the likeliest token each time
	Stop     []string        // ends the text before any of these
	// Emit gets each piece of the text as soon as it is certain, if it is not nil.
	Emit func(piece string) error
}

// Generate continues a text, and gives what it wrote.
func (m *Model) Generate(ctx context.Context, prompt string, o GenerateOptions) (string, error) {
	tokens, err := m.Prompt(prompt)
	if err != nil {
		return "", err
	}
	sampling := infer.Sampling{TopP: 1, RepetitionPenalty: 1}
	if o.Sampling != nil {
		sampling = *o.Sampling
	}
	c, err := m.session.Complete(ctx, infer.Request{Tokens: tokens, Limit: o.Tokens, Sampling: sampling, Stop: o.Stop}, o.Emit)
	return c.Text, err
}

// EvalOptions say what a model is measured on.
type EvalOptions struct {
	train.EvalOptions
	Device Device
}

// Evaluate measures the validation loss of a model and what its task examines.
func Evaluate(ctx context.Context, path string, o EvalOptions) (runs.Eval, error) {
	note := o.Note
	if note == nil {
		note = func(string) {}
	}
	dev, err := o.Device.Open(note)
	if err != nil {
		return runs.Eval{}, err
	}
	defer dev.Close()
	return train.Evaluate(ctx, dev, path, o.EvalOptions)
}
