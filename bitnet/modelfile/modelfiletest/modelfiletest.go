// Package modelfiletest writes model directories for tests, with every mistake
// that a test needs in them.
package modelfiletest

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/modelfile/safetensors"
	"bitnet/data/tokenizer"
)

// Tensors of Small that tests change.
const (
	Projection = "model.layers.0.self_attn.q_proj.weight"
	Norm       = "model.layers.0.input_layernorm.weight"
)

// Tensor is a tensor of a model under test.
type Tensor struct {
	DType string
	Shape []int
	Data  []byte
}

// NewTensor makes a tensor of its dtype, shape and bytes.
func NewTensor(dtype string, shape []int, data []byte) Tensor { return Tensor{dtype, shape, data} }

// Model are the tensors of a model by their names.
type Model map[string]Tensor

// Floats are the bytes of F32.
func Floats(v ...float32) []byte {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// Small is a model of a few hundred weights: float masters, or packed.
func Small(packed bool) (modelfile.HFConfig, Model) {
	c := modelfile.NewHFConfig(modelfile.Config{VocabSize: 8, HiddenSize: 16, IntermediateSize: 12, Layers: 1, Heads: 2, KVHeads: 1,
		MaxPositions: 16, HiddenAct: "silu", NormEps: 1e-5, RopeTheta: 10000}, nil)
	m := Model{}
	for _, s := range c.Tensors() {
		n := 1
		for _, d := range s.Shape {
			n *= d
		}
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(math.Sin(float64(3*i + len(s.Name))))
		}
		m[s.Name] = Tensor{"F32", s.Shape, Floats(values...)}
		if packed && s.Ternary {
			q := modelfile.Quantize(values, s.Shape[0], s.Shape[1])
			m[s.Name] = Tensor{"U8", []int{q.Rows / 4, q.Cols}, pack(q)}
			m[modelfile.ScaleName(s.Name)] = Tensor{"F32", []int{1}, Floats(q.Scale)}
		}
	}
	if packed {
		c.Quantization["quantization_mode"] = "offline"
	}
	return c, m
}

// pack is transformers' packed form: bits 2i, 2i+1 of byte [r, c] hold the
// weight [i*Rows/4 + r, c] + 1.
func pack(m *modelfile.TernaryMatrix) []byte {
	quarter := m.Rows / 4
	out, row := make([]byte, quarter*m.Cols), make([]int8, m.Cols)
	for r := range m.Rows {
		m.Row(r, row)
		for c, v := range row {
			out[r%quarter*m.Cols+c] |= byte(v+1) << (2 * (r / quarter))
		}
	}
	return out
}

// WriteTensors writes a safetensors file.
func (m Model) WriteTensors(t testing.TB, path string) {
	t.Helper()
	var tensors []safetensors.Tensor
	for name, r := range m {
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: r.DType, Shape: r.Shape, Data: func(w io.Writer) error {
			_, err := w.Write(r.Data)
			return err
		}})
	}
	require.NoError(t, safetensors.Write(path, tensors, nil))
}

// Write writes a model directory: config.json and model.safetensors.
func Write(t testing.TB, dir string, c modelfile.HFConfig, m Model) {
	t.Helper()
	text, err := json.Marshal(c)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), text, 0o644))
	m.WriteTensors(t, filepath.Join(dir, modelfile.WeightsName))
}

// Dir is a directory with Small and a tokenizer; change, if it is not nil, spoils
// the model before it is written.
func Dir(t testing.TB, packed bool, change func(c *modelfile.HFConfig, m Model)) string {
	t.Helper()
	dir := t.TempDir()
	c, m := Small(packed)
	if change != nil {
		change(&c, m)
	}
	Write(t, dir, c, m)
	tok, err := tokenizer.Characters("abc")
	require.NoError(t, err)
	require.NoError(t, tok.Save(dir))
	return dir
}

// Adapter writes a random adapter of a model directory, of rank 3, that changes its
// logits a good deal, and says that it was trained on base.
func Adapter(t testing.TB, model, base string) string {
	t.Helper()
	dir := t.TempDir()
	w, err := modelfile.ReadWeights(model)
	require.NoError(t, err)
	l, err := modelfile.ParseLoRA("r=3,alpha=6")
	require.NoError(t, err)
	rng := rand.New(rand.NewPCG(5, 6))
	var tensors []safetensors.Tensor
	for _, s := range w.Config.Tensors() {
		if !s.Ternary {
			continue
		}
		values := func(n int, scale float64) []float32 {
			out := make([]float32, n)
			for i := range out {
				out[i] = float32(scale * rng.NormFloat64())
			}
			return out
		}
		nameA, nameB := modelfile.AdapterNames(s.Name)
		scale := float64(w.Ternary[s.Name].Scale)
		tensors = append(tensors,
			safetensors.Float32(nameA, []int{3, s.Shape[1]}, values(3*s.Shape[1], 1)),
			safetensors.Float32(nameB, []int{s.Shape[0], 3}, values(3*s.Shape[0], 0.1*scale)))
	}
	require.NoError(t, safetensors.Write(filepath.Join(dir, modelfile.AdapterWeightsName), tensors, modelfile.AdapterMetadata(w.Hash())))
	require.NoError(t, modelfile.WriteAdapterConfig(dir, l, base))
	return dir
}
