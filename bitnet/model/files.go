package model

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/modelfile/safetensors"
	"bitnet/graph"
	"bitnet/shaders"
)

// Form is one stored form of all parameters, under a prefix of its own.
type Form struct {
	Slot   graph.Slot
	Prefix string // of the tensors' names
}

// of reports whether a parameter has the form: some optimizers keep no second
// moment of some parameters.
func (f Form) of(p *graph.Param) bool { return f.Slot != graph.SecondMoment || p.Keeps(f.Slot) }

// Save streams forms of all parameters under transformers' names; of a model with
// adapters those of the adapters, under PEFT's.
func (m *Model) Save(path string, forms ...Form) error {
	return m.SaveWith(path, map[string]string{"format": "pt"}, forms...)
}

// SaveWith is Save with other metadata of the file.
func (m *Model) SaveWith(path string, metadata map[string]string, forms ...Form) error {
	var tensors []safetensors.Tensor
	for _, f := range forms {
		for _, p := range m.Params.Trained() {
			if !f.of(p) {
				continue
			}
			row := 0
			for _, part := range p.Parts {
				first, n := row, part.Rows
				row += n
				tensors = append(tensors, safetensors.Tensor{
					Name: f.Prefix + part.Name, DType: "F32", Shape: shapeOf(p, n),
					Data: func(w io.Writer) error {
						values := make([]float32, n*p.Cols)
						if err := p.ReadRows(f.Slot, first, values); err != nil {
							return err
						}
						return safetensors.Float32("", nil, values).Data(w)
					},
				})
			}
		}
	}
	return safetensors.Write(path, tensors, metadata)
}

func shapeOf(p *graph.Param, rows int) []int {
	if p.IsVector() {
		return []int{p.Cols}
	}
	return []int{rows, p.Cols}
}

// LoadMasters reads the masters of a model directory and quantises them. Every
// tensor must be there, have its shape and hold finite numbers; a float model of
// the Llama form gets the norms that it lacks.
func (m *Model) LoadMasters(dir string) error {
	files, err := modelfile.OpenMasters(dir)
	if err != nil {
		return err
	}
	defer files.Close()
	if err := m.loadForm(files, Form{Slot: graph.Master}, nil); err != nil {
		return err
	}
	return m.Params.Quantize(m.dev)
}

// LoadExtended is LoadMasters for a model whose vocabulary became larger than that
// of the directory: from known to size tokens, and possibly more rows of the
// embedding. The rows of new tokens, and rows that the directory does not have,
// become the mean of the known ones (Hewitt, 2021), so that a new token is at
// first as likely as a token is on average.
func (m *Model) LoadExtended(dir string, known, size int) error {
	c, err := modelfile.ReadTrainable(dir)
	if err != nil {
		return err
	}
	if known < 1 || known > min(c.VocabSize, size) || max(c.VocabSize, size) > m.Config.VocabSize {
		return fmt.Errorf("%s has %d rows of the embedding for %d tokens, which do not fit a model of %d for %d", dir, c.VocabSize, known, m.Config.VocabSize, size)
	}
	files, err := modelfile.OpenMasters(dir)
	if err != nil {
		return err
	}
	defer files.Close()
	if err := m.loadForm(files, Form{Slot: graph.Master}, m.embed); err != nil {
		return err
	}
	cols := m.embed.Cols
	if err := files.CheckFloats(modelfile.EmbeddingName, []int{c.VocabSize, cols}); err != nil {
		return err
	}
	values := make([]float32, m.embed.Rows*cols)
	if err := files.Floats(modelfile.EmbeddingName, values[:c.VocabSize*cols]); err != nil {
		return err
	}
	mean := make([]float32, cols)
	for i := range mean {
		sum := 0.0
		for r := range known {
			sum += float64(values[r*cols+i])
		}
		mean[i] = float32(sum / float64(known))
	}
	for r := range m.embed.Rows {
		if r >= known && r < size || r >= c.VocabSize {
			copy(values[r*cols:][:cols], mean)
		}
	}
	if err := m.embed.Write(graph.Master, values); err != nil {
		return err
	}
	return m.Params.Quantize(m.dev)
}

// LoadForm is the reverse of Save for one form other than the masters.
func (m *Model) LoadForm(path string, f Form) error {
	files, err := modelfile.OpenTensors(path)
	if err != nil {
		return err
	}
	defer files.Close()
	return m.loadForm(files, f, nil)
}

// loadForm loads all trained parameters but except, if that is not nil.
func (m *Model) loadForm(files *modelfile.Tensors, f Form, except *graph.Param) error {
	return loadForm(files, f, slices.DeleteFunc(slices.Clone(m.Params.Trained()), func(p *graph.Param) bool { return p == except }))
}

func loadForm(files *modelfile.Tensors, f Form, params []*graph.Param) error {
	for _, p := range params {
		if !f.of(p) {
			continue
		}
		values := make([]float32, p.Rows*p.Cols)
		rest := values
		for _, part := range p.Parts {
			name := f.Prefix + part.Name
			if err := files.CheckFloats(name, shapeOf(p, part.Rows)); err != nil {
				return err
			}
			n := part.Rows * p.Cols
			if err := files.Floats(name, rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		if err := p.Write(f.Slot, values); err != nil {
			return err
		}
	}
	return nil
}

// LoadWeights writes weights of the host to a model that keeps no masters of
// its projections (graph.ForInference, or with adapters), which stay as they are.
func (m *Model) LoadWeights(w *modelfile.Weights) error {
	for _, p := range m.Params.All() {
		if m.Adapted() && !p.IsFrozen() {
			continue
		}
		for i, part := range p.Parts {
			var err error
			if t := w.Ternary[part.Name]; t != nil {
				err = p.WriteTernary(i, words(t), t.Scale)
			} else {
				err = p.Write(graph.Master, w.Float[part.Name])
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// words are the codes as the kernels need them: 16 per word, rows padded to whole words.
func words(m *modelfile.TernaryMatrix) []uint32 {
	per, stride := shaders.Words16(m.Cols), m.Stride()
	out := make([]uint32, m.Rows*per)
	var word [4]byte
	for r := range m.Rows {
		row := m.Codes[r*stride:][:stride]
		for i := range per {
			clear(word[:])
			copy(word[:], row[4*i:])
			out[r*per+i] = binary.LittleEndian.Uint32(word[:])
		}
	}
	return out
}
