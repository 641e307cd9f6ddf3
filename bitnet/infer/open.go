package infer

import (
	"context"
	"fmt"

	"bitnet/bitnet/model"
	"bitnet/bitnet/modelfile"
	"bitnet/data/tokenizer"
	"bitnet/gpu"
	"bitnet/graph"
)

// Model is a model on a device, for use and not for training: its ternary
// weights are there in two bits each, without their float masters.
type Model struct {
	*model.Model
	Dir       string // of the model's files
	Adapter   string // of its adapter's; "" for none
	Tokenizer *tokenizer.Tokenizer
}

// Open loads a run's newest checkpoint, a checkpoint, a model directory or
// ORG/NAME of the hub: see modelfile.Resolve. note gets a line for what is
// skipped and downloaded.
func Open(ctx context.Context, dev *gpu.Device, runsDir, path string, note func(string)) (*Model, error) {
	return OpenAdapted(ctx, dev, runsDir, path, "", note)
}

// OpenAdapted is Open for a model with an adapter, found as a model is; "" is that of
// the path, if it is a run that trained one: see modelfile.ResolveSource.
func OpenAdapted(ctx context.Context, dev *gpu.Device, runsDir, path, adapter string, note func(string)) (*Model, error) {
	f, err := ReadFiles(ctx, runsDir, path, adapter, note)
	if err != nil {
		return nil, err
	}
	return f.Load(dev)
}

// Files are a model's weights and tokenizer on the host, from where a device gets them.
type Files struct {
	source    modelfile.Source
	weights   *modelfile.Weights
	adapter   *modelfile.Adapter // nil without one
	tokenizer *tokenizer.Tokenizer
}

// ReadFiles reads what OpenAdapted needs. It needs no device, so that one can be opened
// meanwhile.
func ReadFiles(ctx context.Context, runsDir, path, adapter string, note func(string)) (*Files, error) {
	source, err := modelfile.ResolveSource(ctx, runsDir, path, adapter, note)
	if err != nil {
		return nil, err
	}
	w, a, err := modelfile.ReadSource(source)
	if err != nil {
		return nil, err
	}
	tok, err := tokenizer.Load(source.Dir)
	if err != nil {
		return nil, err
	}
	if n := tok.Size(); n > w.Config.VocabSize {
		return nil, fmt.Errorf("%s: the tokenizer has %d tokens, the model %d", source.Dir, n, w.Config.VocabSize)
	}
	return &Files{source, w, a, tok}, nil
}

// Load puts the model onto a device.
func (f *Files) Load(dev *gpu.Device) (*Model, error) {
	m, err := Load(dev, f.weights, f.adapter)
	if err != nil {
		return nil, fmt.Errorf("loading %s: %w", f.source.Dir, err)
	}
	return &Model{m, f.source.Dir, f.source.Adapter, f.tokenizer}, nil
}

// Load puts weights of the host onto a device, with an adapter if that is not nil.
func Load(dev *gpu.Device, w *modelfile.Weights, a *modelfile.Adapter) (*model.Model, error) {
	var lora *modelfile.LoRA
	if a != nil {
		lora = &a.LoRA
	}
	m, err := model.NewAdapted(w.Config, dev.Adapter(), graph.ForInference, "", lora)
	if err != nil {
		return nil, err
	}
	return put(dev, m, func() error {
		if err := m.LoadWeights(w); err != nil || a == nil {
			return err
		}
		return m.LoadAdapter(a)
	})
}

// LoadFloat puts a float model onto a device.
func LoadFloat(dev *gpu.Device, w *modelfile.FloatModel) (*model.Model, error) {
	m, err := model.NewFloat(w.Config, dev.Adapter())
	if err != nil {
		return nil, err
	}
	return put(dev, m, func() error { return m.LoadFloat(w) })
}

// put makes room for a model on a device and loads its weights.
func put(dev *gpu.Device, m *model.Model, load func() error) (*model.Model, error) {
	if err := m.Allocate(dev); err != nil {
		return nil, err
	}
	if err := load(); err != nil {
		m.Release()
		return nil, err
	}
	return m, nil
}

// Prompt gives the tokens of a text that is to be continued: the token that
// begins a text, if the model has one, and the text.
func (m *Model) Prompt(text string) ([]uint32, error) { return Prompt(m.Tokenizer, text) }

// Prompt is Model.Prompt without a model. A text that begins with the
// token itself does not get it twice.
func Prompt(tok *tokenizer.Tokenizer, text string) ([]uint32, error) {
	bos, ok := tok.BOS()
	if !ok {
		return tok.Append(nil, text)
	}
	ids, err := tok.Append([]uint32{bos}, text)
	if len(ids) > 1 && ids[1] == bos {
		ids = ids[1:]
	}
	return ids, err
}
