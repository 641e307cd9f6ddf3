package export

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/modelfile/safetensors"
	"bitnet/data/atomicfile"
	"bitnet/data/tokenizer"
)

// writeHF writes config.json, model.safetensors and the tokenizer into dir.
func (e *exporter) writeHF(dir string, packed bool) error {
	c := modelfile.NewHFConfig(e.config.Config, e.tok)
	if e.tok == nil {
		c.BOS, c.EOS, c.Pad = e.config.BOS, e.config.EOS, e.config.Pad
	}
	switch {
	case packed:
		c.Quantization["quantization_mode"] = "offline"
	case e.Float:
		c.Quantization = nil // transformers quantises neither weights nor activations
	}
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(dir, "config.json"), append(text, '\n')); err != nil {
		return err
	}
	if e.tok != nil {
		if err := e.tok.Save(dir); err != nil {
			return err
		}
	} else {
		e.Note("the model has no tokenizer; none was written")
	}
	var files *modelfile.Tensors // of the masters
	if !packed && !e.Float {
		if files, err = modelfile.OpenTensors(filepath.Join(e.dir, modelfile.WeightsName)); err != nil {
			return err
		}
		defer files.Close()
	}
	var tensors []safetensors.Tensor
	for _, t := range e.config.Tensors() {
		switch {
		case !t.Ternary:
			tensors = append(tensors, safetensors.Float32(t.Name, t.Shape, e.weights.Float[t.Name]))
		case e.Float:
			tensors = append(tensors, e.floatTensor(t))
		case !packed:
			tensors = append(tensors, e.mastersOf(files, t))
		default:
			m := e.weights.Ternary[t.Name]
			if m.Rows%4 != 0 {
				return fmt.Errorf("tensor %s has %d rows, which is not a multiple of 4: it cannot be packed; use --format hf or gguf", t.Name, m.Rows)
			}
			tensors = append(tensors,
				safetensors.Tensor{Name: t.Name, DType: "U8", Shape: []int{m.Rows / 4, m.Cols}, Data: func(w io.Writer) error { return writePacked(w, m) }},
				safetensors.Float32(modelfile.ScaleName(t.Name), []int{1}, []float32{m.Scale}))
		}
	}
	return safetensors.Write(filepath.Join(dir, modelfile.WeightsName), tensors, map[string]string{"format": "pt"})
}

// mastersOf is a float tensor of the source, or what merging made of it.
func (e *exporter) mastersOf(files *modelfile.Tensors, t modelfile.TensorShape) safetensors.Tensor {
	if values, ok := e.masters[t.Name]; ok {
		return safetensors.Float32(t.Name, t.Shape, values)
	}
	return masters(files, t)
}

// masters is a float tensor of the source, in F32: widened, never rounded.
func masters(t *modelfile.Tensors, s modelfile.TensorShape) safetensors.Tensor {
	return safetensors.Tensor{Name: s.Name, DType: "F32", Shape: s.Shape, Data: func(w io.Writer) error {
		values := make([]float32, s.Shape[0]*s.Shape[1])
		if err := t.Floats(s.Name, values); err != nil {
			return err
		}
		return safetensors.Float32("", nil, values).Data(w)
	}}
}

// writePacked writes U8 [Rows/4, Cols]: bits 2i, 2i+1 of byte [r, c] hold the
// weight [i*Rows/4 + r, c] + 1.
func writePacked(w io.Writer, m *modelfile.TernaryMatrix) error {
	quarter := m.Rows / 4
	out, row := make([]byte, m.Cols), make([]int8, m.Cols)
	for r := range quarter {
		clear(out)
		for part := range 4 {
			m.Row(part*quarter+r, row)
			for c, v := range row {
				out[c] |= byte(v+1) << (2 * part)
			}
		}
		if _, err := w.Write(out); err != nil {
			return err
		}
	}
	return nil
}

// checkHF compares what compare does not see: the masters and the tokenizer.
func (e *exporter) checkHF(dir string, packed bool) error {
	if e.tok != nil {
		tok, err := tokenizer.Load(dir)
		if err != nil {
			return err
		}
		if tok.Hash() != e.tok.Hash() {
			return fmt.Errorf("the tokenizer has the hash %s, not %s", tok.Hash(), e.tok.Hash())
		}
	}
	if packed || e.Float {
		return nil
	}
	a, err := modelfile.OpenTensors(filepath.Join(e.dir, modelfile.WeightsName))
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := modelfile.OpenTensors(filepath.Join(dir, modelfile.WeightsName))
	if err != nil {
		return err
	}
	defer b.Close()
	for _, t := range e.config.Tensors() {
		if !t.Ternary {
			continue
		}
		n := t.Shape[0] * t.Shape[1]
		x, y := make([]float32, n), make([]float32, n)
		if merged, ok := e.masters[t.Name]; ok {
			copy(x, merged)
		} else if err := a.Floats(t.Name, x); err != nil {
			return err
		}
		if err := b.Floats(t.Name, y); err != nil {
			return err
		}
		if !slices.Equal(x, y) {
			return fmt.Errorf("tensor %s has different masters", t.Name)
		}
	}
	return nil
}
