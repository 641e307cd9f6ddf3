package export

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"strings"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/model"
	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/modelfile/gguf"
	"bitnet/bitnet/modelfile/safetensors"
	"bitnet/data/atomicfile"
	"bitnet/gpu"
)

// checkAdapter checks that the format fits a model with or without an adapter.
func (e *exporter) checkAdapter(path string) error {
	alone := e.Format == "peft" || e.Format == "gguf-lora"
	switch {
	case e.source.Adapter == "" && alone:
		return fmt.Errorf("--format %s writes an adapter, and %s has none: name one with --adapter", e.Format, path)
	case e.Float && !e.Merge:
		return errors.New("--float makes a float model of a model and its adapter: use it with --merge")
	case e.source.Adapter == "" && e.Merge:
		return fmt.Errorf("--merge needs an adapter, and %s has none: name one with --adapter", path)
	case alone && e.Merge:
		return fmt.Errorf("--merge makes a model: use it with --format hf, hf-packed or gguf, not with %s", e.Format)
	case alone && (e.Check || e.Verify):
		return fmt.Errorf("--check and --verify are for models, not for --format %s", e.Format)
	case e.source.Adapter != "" && !alone && !e.Merge:
		return errors.New("an adapter stays a file of its own (--format peft or gguf-lora), or becomes part of the model with --merge: say which")
	}
	return e.checkFloat()
}

// mergeAndMeasure merges the adapter into its model, and lets the caller measure it.
func (e *exporter) mergeAndMeasure() error {
	var load func(*gpu.Device) (*model.Model, error)
	if e.Float {
		e.float = e.mergeFloat()
		load = func(dev *gpu.Device) (*model.Model, error) { return infer.LoadFloat(dev, e.float) }
	} else {
		if err := e.merge(); err != nil {
			return err
		}
		load = func(dev *gpu.Device) (*model.Model, error) { return infer.Load(dev, e.weights, nil) }
	}
	if e.Merged == nil {
		return nil
	}
	return e.Merged(load)
}

// merge makes a ternary model of the model and its adapter: the products of the
// adapter are added to the float masters, which are rounded again. A packed model has no
// masters: there its weights take their place, and keep their scale, which the mean of
// rounded weights would shrink.
func (e *exporter) merge() error {
	a := e.adapter
	var files *modelfile.Tensors
	if !e.config.Packed() {
		var err error
		if files, err = modelfile.OpenTensors(filepath.Join(e.dir, modelfile.WeightsName)); err != nil {
			return err
		}
		defer files.Close()
		e.masters = map[string][]float32{}
	}
	for _, t := range e.config.Tensors() {
		if a.A[t.Name] == nil {
			continue
		}
		m := e.weights.Ternary[t.Name]
		values := make([]float32, m.Rows*m.Cols)
		if files == nil {
			m.Floats(values)
		} else if err := files.Floats(t.Name, values); err != nil {
			return err
		}
		a.AddTo(values, t.Name)
		if files == nil {
			e.weights.Ternary[t.Name] = modelfile.QuantizeWith(values, m.Rows, m.Cols, m.Scale)
		} else {
			e.masters[t.Name] = values
			e.weights.Ternary[t.Name] = modelfile.Quantize(values, m.Rows, m.Cols)
		}
	}
	e.adapter = nil
	return nil
}

// peft writes the adapter as a folder of PEFT.
func (e *exporter) peft() error {
	f, err := atomicfile.NewFolder(e.Out)
	if err != nil {
		return fmt.Errorf("making the folder of --output: %w", err)
	}
	defer f.Discard()
	if err := e.writePEFT(f.Dir); err != nil {
		return fmt.Errorf("writing %s: %w", e.Out, err)
	}
	return e.place(f)
}

func (e *exporter) writePEFT(dir string) error {
	a := e.adapter
	var tensors []safetensors.Tensor
	for _, t := range e.config.Tensors() {
		if a.A[t.Name] != nil {
			nameA, nameB := modelfile.AdapterNames(t.Name)
			tensors = append(tensors,
				safetensors.Float32(nameA, []int{a.Rank, t.Shape[1]}, a.A[t.Name]),
				safetensors.Float32(nameB, []int{t.Shape[0], a.Rank}, a.B[t.Name]))
		}
	}
	path := filepath.Join(dir, modelfile.AdapterWeightsName)
	if err := safetensors.Write(path, tensors, modelfile.AdapterMetadata(e.weights.Hash())); err != nil {
		return err
	}
	base := a.Base
	if base == "" {
		abs, err := filepath.Abs(e.dir)
		if err != nil {
			return err
		}
		base = modelfile.HubName(abs)
	}
	return modelfile.WriteAdapterConfig(dir, a.LoRA, base)
}

// ggufAdapter writes the adapter as llama.cpp reads it with --lora, in F32.
func (e *exporter) ggufAdapter() error {
	path := e.Out
	if !strings.HasSuffix(path, ".gguf") {
		return fmt.Errorf("--output %s: the name of a GGUF file ends in .gguf", path)
	}
	a := e.adapter
	if math.IsInf(float64(float32(a.Alpha)), 0) {
		return fmt.Errorf("alpha %g is too large for a GGUF file", a.Alpha)
	}
	keys := []gguf.KeyValue{
		{Key: "general.type", Value: "adapter"},
		{Key: "general.architecture", Value: "bitnet"},
		{Key: "general.name", Value: modelName(e.source.Adapter)},
		{Key: "adapter.type", Value: "lora"},
		{Key: "adapter.lora.alpha", Value: float32(a.Alpha)},
	}
	var tensors []gguf.Tensor
	for _, t := range e.config.Tensors() {
		if a.A[t.Name] == nil {
			continue
		}
		name := ggufName(t.Name) + ".weight"
		tensors = append(tensors,
			ggufFloats(name+".lora_a", []int{a.Rank, t.Shape[1]}, a.A[t.Name]),
			ggufFloats(name+".lora_b", []int{t.Shape[0], a.Rank}, a.B[t.Name]))
	}
	folder, err := atomicfile.CreateFolder(path)
	if err != nil {
		return fmt.Errorf("making the folder of --output: %w", err)
	}
	defer folder.Discard()
	tmp := filepath.Join(folder.Dir, filepath.Base(path))
	if err := gguf.Write(tmp, keys, tensors); err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	if err := atomicfile.Rename(tmp, path); err != nil {
		return fmt.Errorf("placing %s: %w", path, err)
	}
	e.wrote(path)
	e.Note("apply it to the model as bitnet export --format gguf --for-lora writes it")
	return nil
}
