package export

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/modelfile/gguf"
	"bitnet/bitnet/modelfile/safetensors"
)

// checkFloat checks that the options fit a float model.
func (e *exporter) checkFloat() error {
	switch {
	case !e.Float:
		return nil
	case e.Format == "hf-packed":
		return errors.New("--float writes float weights, which cannot be packed: use --format hf or gguf")
	case e.ForLoRA:
		return errors.New("--for-lora is for ternary weights: llama.cpp adds an adapter to a model of --float without it")
	case e.Type != "" && e.Type != "f16" && e.Type != "f32":
		return fmt.Errorf("--type %s cannot hold the weights of --float: use f16 or f32", e.Type)
	}
	return nil
}

// mergeFloat makes a float model of the ternary model and its adapter, with the matrices
// rounded as the format stores them.
func (e *exporter) mergeFloat() *modelfile.FloatModel {
	f := e.weights.MergeFloat(e.adapter)
	if e.Format != "gguf" || e.Type == "f32" {
		return f
	}
	return &modelfile.FloatModel{Config: f.Config, Values: func(name string) ([]float32, error) {
		values, err := f.Values(name)
		if err != nil || e.weights.Ternary[name] == nil && name != modelfile.EmbeddingName {
			return values, err
		}
		rounded := make([]float32, len(values))
		for i, v := range values {
			h, err := half(v)
			if err != nil {
				return nil, fmt.Errorf("tensor %s: %w", name, err)
			}
			rounded[i] = gguf.Float(h)
		}
		return rounded, nil
	}}
}

// floatTensor is a projection of a folder, computed when it is written.
func (e *exporter) floatTensor(t modelfile.TensorShape) safetensors.Tensor {
	return safetensors.Tensor{Name: t.Name, DType: "F32", Shape: t.Shape, Data: e.floatData(t.Name, gguf.F32)}
}

// floatData writes a tensor of the float model in F32 or F16.
func (e *exporter) floatData(name string, t gguf.Type) func(io.Writer) error {
	return func(w io.Writer) error {
		values, err := e.float.Values(name)
		if err != nil {
			return err
		}
		if t == gguf.F16 {
			return writeHalves(w, values)
		}
		return binary.Write(w, binary.LittleEndian, values)
	}
}

// rereadFloat is reread for a float model. Verify compares it with the ternary model and
// its adapter, so that it sees what merging changed.
func (e *exporter) rereadFloat(read func() (*modelfile.FloatModel, error), rest func() error) error {
	want := func(ids []uint32) ([][]float64, error) {
		return e.weights.ForwardAdapted(e.adapter, ids, modelfile.PerToken)
	}
	return rereadAs(e, read, e.compareFloat, rest, want, modelfile.Unrounded)
}

// compareFloat finds the first difference between the float model and an export of it
// that was read again.
func (e *exporter) compareFloat(got *modelfile.FloatModel) error {
	if difference := got.Config.Difference(e.float.Config); difference != "" {
		return fmt.Errorf("the configuration differs: %s", difference)
	}
	tensors := e.config.Tensors()
	for _, t := range tensors {
		want, err := e.float.Values(t.Name)
		if err != nil {
			return err
		}
		have, err := got.Values(t.Name)
		if err != nil {
			return err
		}
		if !slices.Equal(have, want) {
			return fmt.Errorf("tensor %s has different values", t.Name)
		}
	}
	e.done.Tensors = len(tensors)
	return nil
}

// readFloatHF reads the folder of a float model.
func readFloatHF(dir string) (*modelfile.FloatModel, error) {
	c, err := modelfile.ReadFloatConfig(dir)
	if err != nil {
		return nil, err
	}
	files, err := modelfile.OpenTensors(filepath.Join(dir, modelfile.WeightsName))
	if err != nil {
		return nil, err
	}
	defer files.Close()
	values := map[string][]float32{}
	for _, t := range c.Tensors() {
		if err := files.CheckFloats(t.Name, t.Shape); err != nil {
			return nil, err
		}
		values[t.Name] = make([]float32, files.Elements(t.Name))
		if err := files.Floats(t.Name, values[t.Name]); err != nil {
			return nil, err
		}
	}
	return floatModel(c, values), nil
}

// readFloatGGUF reads the GGUF file of a float model, which does not say its hidden_act.
func readFloatGGUF(path, hiddenAct string) (*modelfile.FloatModel, *ggufVocab, error) {
	f, err := gguf.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	c, vocab, err := decodeGGUFKeys(f)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	c.HiddenAct = hiddenAct
	values := map[string][]float32{}
	for _, t := range c.Tensors() {
		info, raw, err := ggufTensor(f, ggufName(t.Name)+".weight", t.Shape)
		if err == nil {
			values[t.Name], err = ggufValues(info, raw)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: tensor %s: %w", path, info.Name, err)
		}
	}
	return floatModel(c, values), vocab, nil
}

func floatModel(c modelfile.Config, values map[string][]float32) *modelfile.FloatModel {
	return &modelfile.FloatModel{Config: c, Values: func(name string) ([]float32, error) { return values[name], nil }}
}
