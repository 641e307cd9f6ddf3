package bitnet

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"bitnet/bitnet/safetensors"
	"bitnet/data/atomicfile"
	"bitnet/data/tokenizer"
)

// writeHF writes config.json, model.safetensors and the tokenizer into dir.
func (e *exporter) writeHF(dir string, packed bool) error {
	c := newHFConfig(e.config.ModelConfig, e.tok)
	if e.tok == nil {
		c.BOS, c.EOS, c.Pad = e.config.BOS, e.config.EOS, e.config.Pad
	}
	if packed {
		c.Quantization["quantization_mode"] = "offline"
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
	files, err := openTensors(filepath.Join(e.dir, weightsName))
	if err != nil {
		return err
	}
	defer files.close()
	var tensors []safetensors.Tensor
	for _, t := range e.config.tensors() {
		switch {
		case !t.ternary:
			tensors = append(tensors, safetensors.Float32(t.name, t.shape, e.weights.Float[t.name]))
		case !packed:
			tensors = append(tensors, files.masters(t))
		default:
			m := e.weights.Ternary[t.name]
			if m.Rows%4 != 0 {
				return fmt.Errorf("tensor %s has %d rows, which is not a multiple of 4: it cannot be packed; use --format hf or gguf", t.name, m.Rows)
			}
			tensors = append(tensors,
				safetensors.Tensor{Name: t.name, DType: "U8", Shape: []int{m.Rows / 4, m.Cols}, Data: m.writePacked},
				safetensors.Float32(scaleName(t.name), []int{1}, []float32{m.Scale}))
		}
	}
	return safetensors.Write(filepath.Join(dir, weightsName), tensors, map[string]string{"format": "pt"})
}

// masters is a float tensor of the source, in F32: widened, never rounded.
func (t *tensorFiles) masters(s tensorShape) safetensors.Tensor {
	return safetensors.Tensor{Name: s.name, DType: "F32", Shape: s.shape, Data: func(w io.Writer) error {
		values := make([]float32, s.shape[0]*s.shape[1])
		if err := t.floats(s.name, values); err != nil {
			return err
		}
		return safetensors.Float32("", nil, values).Data(w)
	}}
}

// writePacked writes U8 [Rows/4, Cols]: bits 2i, 2i+1 of byte [r, c] hold the
// weight [i*Rows/4 + r, c] + 1.
func (m *TernaryMatrix) writePacked(w io.Writer) error {
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
	if packed {
		return nil
	}
	a, err := openTensors(filepath.Join(e.dir, weightsName))
	if err != nil {
		return err
	}
	defer a.close()
	b, err := openTensors(filepath.Join(dir, weightsName))
	if err != nil {
		return err
	}
	defer b.close()
	for _, t := range e.config.tensors() {
		if !t.ternary {
			continue
		}
		n := t.shape[0] * t.shape[1]
		x, y := make([]float32, n), make([]float32, n)
		if err := a.floats(t.name, x); err != nil {
			return err
		}
		if err := b.floats(t.name, y); err != nil {
			return err
		}
		if !slices.Equal(x, y) {
			return fmt.Errorf("tensor %s has other masters", t.name)
		}
	}
	return nil
}
