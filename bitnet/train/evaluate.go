package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"bitnet/bitnet/eval"
	"bitnet/bitnet/infer"
	"bitnet/bitnet/model"
	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/runs"
	"bitnet/bitnet/task"
	"bitnet/bitnet/task/catalog"
	"bitnet/data/tokenizer"
	"bitnet/gpu"
	"bitnet/graph"
)

// ErrNoData says that nothing is known of the data that a model was trained on.
var ErrNoData = errors.New("its data is unknown: name data to measure it on with --data")

// ErrUnmeasured says that a merged model could not be measured where the model with its
// adapter could, such as for want of memory on the device.
var ErrUnmeasured = errors.New("it could not be computed on this device")

// EvalOptions say what a model is measured on.
type EvalOptions struct {
	eval.Options
	RunsDir string // where a run's name is looked for
	Data    string // as in task.Settings.Source; "" for the validation data of the model's run
	Adapter string // on the model, found as a model is; "" for none, or that of a run that trained one
	Note    func(string)
}

// Evaluate measures a model: the newest checkpoint of a run, a checkpoint, a
// model directory or ORG/NAME of the hub. A model without a run's configuration
// has no data of its own and needs Data.
func Evaluate(ctx context.Context, dev *gpu.Device, path string, o EvalOptions) (runs.Eval, error) {
	if o.Note == nil {
		o.Note = func(string) {}
	}
	source, err := modelfile.ResolveSource(ctx, o.RunsDir, path, o.Adapter, o.Note)
	if err != nil {
		return runs.Eval{}, err
	}
	c, step, err := evalConfig(source, o.Data)
	if err != nil {
		return runs.Eval{}, err
	}
	t, err := openEvaluation(ctx, source.Dir, c, o)
	if err != nil {
		return runs.Eval{}, err
	}
	m, err := loadForEvaluation(dev, source, c.Model)
	if err != nil {
		return runs.Eval{}, err
	}
	defer m.Release()
	e, err := eval.Once(ctx, m, t, c.Train.BatchSize, c.Train.SeqLen, catalog.Packed(c.Data.Source), o.Options)
	e.Step = step
	return e, err
}

// openEvaluation opens the data that a model is measured on.
func openEvaluation(ctx context.Context, dir string, c *Config, o EvalOptions) (_ task.Task, err error) {
	var own *tokenizer.Tokenizer
	if _, err := os.Stat(filepath.Join(dir, "tokenizer.json")); err == nil {
		if own, err = tokenizer.Load(dir); err != nil {
			return nil, err
		}
	}
	return catalog.Open(ctx, task.Options{
		Settings: c.Data, Seq: c.Train.SeqLen, Seed: c.Train.Seed, Vocab: c.Model.VocabSize, Own: own, Whole: o.Data != "", Note: o.Note,
	})
}

// MergedLoss measures what merging an adapter into its model changed: the validation loss
// of the model with its adapter, as Evaluate finds it, and that of the merged model, which
// merged puts onto the device. An error of the second is ErrUnmeasured, with the first loss.
func MergedLoss(ctx context.Context, dev *gpu.Device, path string, o EvalOptions, merged func(*gpu.Device) (*model.Model, error)) (before, after infer.Loss, err error) {
	source, err := modelfile.ResolveSource(ctx, o.RunsDir, path, o.Adapter, o.Note)
	if err != nil {
		return before, after, err
	}
	c, _, err := evalConfig(source, o.Data)
	if err != nil {
		return before, after, err
	}
	w, a, err := modelfile.ReadSource(source)
	if err != nil {
		return before, after, err
	}
	adapted := func(dev *gpu.Device) (*model.Model, error) { return infer.Load(dev, w, a) }
	if before, err = lossOf(ctx, dev, source.Dir, c, o, adapted); err != nil {
		return before, after, err
	}
	after, err = lossOf(ctx, dev, source.Dir, c, o, merged)
	if err != nil && ctx.Err() == nil {
		err = fmt.Errorf("%w: %w", ErrUnmeasured, err)
	}
	return before, after, err
}

// lossOf is the validation loss of the model that load puts onto the device.
func lossOf(ctx context.Context, dev *gpu.Device, dir string, c *Config, o EvalOptions, load func(*gpu.Device) (*model.Model, error)) (infer.Loss, error) {
	t, err := openEvaluation(ctx, dir, c, o)
	if err != nil {
		return infer.Loss{}, err
	}
	src, err := t.Validation()
	if err != nil {
		return infer.Loss{}, err
	}
	if src == nil {
		return infer.Loss{}, fmt.Errorf("%s has no validation data: name data with --data", c.Data.Source)
	}
	m, err := load(dev)
	if err != nil {
		return infer.Loss{}, err
	}
	defer m.Release()
	scorer, err := infer.NewScorer(m, c.Train.BatchSize, c.Train.SeqLen, catalog.Packed(c.Data.Source), nil)
	if err != nil {
		return infer.Loss{}, err
	}
	defer scorer.Release()
	rows := int64(o.Rows)
	if rows == 0 {
		rows = math.MaxInt64
	}
	return scorer.Loss(ctx, src, rows, nil)
}

// evalConfig is the configuration that a model is measured with, and its step.
func evalConfig(source modelfile.Source, data string) (*Config, int64, error) {
	hf, err := modelfile.ReadHFConfig(source.Dir)
	if err != nil {
		return nil, 0, err
	}
	var step int64
	dir := source.Own()
	c, err := LoadConfig(filepath.Join(dir, configName))
	switch {
	case err == nil:
		step = max(runs.CheckpointStep(dir), 0)
	case errors.Is(err, os.ErrNotExist) && data == "":
		return nil, 0, fmt.Errorf("%s has no %s, so %w", dir, configName, ErrNoData)
	case errors.Is(err, os.ErrNotExist):
		c = &Config{Train: Optimisation{BatchSize: 8, SeqLen: min(256, hf.MaxPositions)}}
	default:
		return nil, 0, err
	}
	c.Model = hf.Config
	if data != "" {
		c.Data = task.Settings{Source: data, Dir: "", Tokenizer: ""}
	}
	return c, step, nil
}

// loadForEvaluation puts a model onto a device: its masters, or the codes of a
// packed one and of one with an adapter.
func loadForEvaluation(dev *gpu.Device, source modelfile.Source, c modelfile.Config) (*model.Model, error) {
	dir := source.Dir
	hf, err := modelfile.ReadHFConfig(dir)
	if err != nil {
		return nil, err
	}
	if hf.Packed() || source.Adapter != "" {
		w, a, err := modelfile.ReadSource(source)
		if err != nil {
			return nil, err
		}
		return infer.Load(dev, w, a)
	}
	m, err := model.New(c, dev.Adapter(), graph.ForEvaluation, "")
	if err != nil {
		return nil, err
	}
	if err := m.Allocate(dev); err != nil {
		return nil, err
	}
	if err := m.LoadMasters(dir); err != nil {
		m.Release()
		return nil, err
	}
	return m, nil
}
