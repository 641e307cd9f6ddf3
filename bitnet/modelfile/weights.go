package modelfile

import (
	"fmt"
	"path/filepath"
	"slices"
)

// Weights are a model's weights on the host, as inference and the exporters
// need them. Keys are transformers' names, such as
// model.layers.0.self_attn.q_proj.weight.
type Weights struct {
	Config  Config
	Float   map[string][]float32 // embedding [vocab, hidden] and norms
	Ternary map[string]*TernaryMatrix
}

// ReadWeights reads a transformers BitNet directory, in one file or several:
// float masters (F32, F16 or BF16), which are quantised here, or the packed
// form. Every tensor must be there with its shape and finite numbers, and no
// other.
func ReadWeights(dir string) (*Weights, error) {
	c, err := ReadHFConfig(dir)
	if err != nil {
		return nil, err
	}
	files, err := OpenTensors(filepath.Join(dir, WeightsName))
	if err != nil {
		return nil, err
	}
	defer files.Close()
	packed := c.Packed()
	all := c.Tensors()
	known := map[string]bool{headName: true}
	for _, t := range all {
		known[t.Name] = true
		known[ScaleName(t.Name)] = packed && t.Ternary
		if err := files.check(t, packed); err != nil {
			return nil, err
		}
	}
	for _, name := range files.names() {
		if !known[name] {
			return nil, fmt.Errorf("%s: tensor %.80q does not belong to this architecture: is the configuration that of a different model?", files.of[name].path, name)
		}
	}
	w := &Weights{Config: c.Config, Float: map[string][]float32{}, Ternary: map[string]*TernaryMatrix{}}
	var masters []float32 // of one projection after another
	for _, t := range all {
		switch n := files.Elements(t.Name); {
		case packed && t.Ternary:
			if w.Ternary[t.Name], err = files.packed(t); err != nil {
				return nil, err
			}
		case t.Ternary:
			masters = slices.Grow(masters[:0], n)[:n]
			if err := files.Floats(t.Name, masters); err != nil {
				return nil, err
			}
			w.Ternary[t.Name] = Quantize(masters, t.Shape[0], t.Shape[1])
		default:
			values := make([]float32, n)
			if err := files.Floats(t.Name, values); err != nil {
				return nil, err
			}
			w.Float[t.Name] = values
		}
	}
	return w, files.checkHead(w.Float[EmbeddingName])
}
