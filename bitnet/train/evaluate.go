package train

import (
	"context"
	"errors"
	"fmt"
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
	dir := source.Dir
	c, step, err := evalConfig(source, o.Data)
	if err != nil {
		return runs.Eval{}, err
	}
	var own *tokenizer.Tokenizer
	if _, err := os.Stat(filepath.Join(dir, "tokenizer.json")); err == nil {
		if own, err = tokenizer.Load(dir); err != nil {
			return runs.Eval{}, err
		}
	}
	t, err := catalog.Open(ctx, task.Options{
		Settings: c.Data, Seq: c.Train.SeqLen, Seed: c.Train.Seed, Vocab: c.Model.VocabSize, Own: own, Whole: o.Data != "", Note: o.Note,
	})
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
		return nil, 0, fmt.Errorf("%s has no %s, so its data is unknown: name data to measure it on with --data", dir, configName)
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
