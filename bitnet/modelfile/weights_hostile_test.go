package modelfile

import (
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/modelfile/gguf"
	"bitnet/bitnet/modelfile/safetensors"
	"bitnet/data/tokenizer"
)

// A tensor of a model under test: its dtype, shape and bytes.
type rawTensor struct {
	dtype string
	shape []int
	data  []byte
}

type rawModel map[string]rawTensor

func float32Bytes(v ...float32) []byte {
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(x))
	}
	return b
}

// smallConfig is of a model of a few hundred weights.
func smallConfig() HFConfig {
	return NewHFConfig(Config{VocabSize: 8, HiddenSize: 16, IntermediateSize: 12, Layers: 1, Heads: 2, KVHeads: 1,
		MaxPositions: 16, HiddenAct: "silu", NormEps: 1e-5, RopeTheta: 10000}, nil)
}

func smallModel(packed bool) (HFConfig, rawModel) {
	c, m := smallConfig(), rawModel{}
	for _, s := range c.Tensors() {
		n := 1
		for _, d := range s.Shape {
			n *= d
		}
		values := make([]float32, n)
		for i := range values {
			values[i] = float32(math.Sin(float64(3*i + len(s.Name))))
		}
		m[s.Name] = rawTensor{"F32", s.Shape, float32Bytes(values...)}
		if packed && s.Ternary {
			q := Quantize(values, s.Shape[0], s.Shape[1])
			var b strings.Builder
			_ = q.writePacked(&b)
			m[s.Name] = rawTensor{"U8", []int{q.Rows / 4, q.Cols}, []byte(b.String())}
			m[ScaleName(s.Name)] = rawTensor{"F32", []int{1}, float32Bytes(q.Scale)}
		}
	}
	if packed {
		c.Quantization["quantization_mode"] = "offline"
	}
	return c, m
}

func (m rawModel) write(t testing.TB, path string) {
	var tensors []safetensors.Tensor
	for name, r := range m {
		tensors = append(tensors, safetensors.Tensor{Name: name, DType: r.dtype, Shape: r.shape, Data: func(w io.Writer) error {
			_, err := w.Write(r.data)
			return err
		}})
	}
	require.NoError(t, safetensors.Write(path, tensors, nil))
}

func writeModel(t testing.TB, dir string, c HFConfig, m rawModel) {
	text, err := json.Marshal(c)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), text, 0o644))
	m.write(t, filepath.Join(dir, WeightsName))
}

const (
	someProjection = "model.layers.0.self_attn.q_proj.weight"
	someNorm       = "model.layers.0.input_layernorm.weight"
)

// What is wrong with a model is said in one line.
func TestHostileWeights(t *testing.T) {
	for want, row := range map[string]struct {
		packed bool
		change func(c *HFConfig, m rawModel)
	}{
		"input_layernorm.weight is missing": {false, func(_ *HFConfig, m rawModel) { delete(m, someNorm) }},
		"weight_scale is missing":           {true, func(_ *HFConfig, m rawModel) { delete(m, ScaleName(someProjection)) }},
		`"evil\nname" is none of`:           {false, func(_ *HFConfig, m rawModel) { m["evil\nname"] = m[someNorm] }},
		"weight_scale\" is none of": {false, func(_ *HFConfig, m rawModel) {
			m[ScaleName(someProjection)] = rawTensor{"F32", []int{1}, float32Bytes(1)}
		}},
		"has shape [8 16]":  {false, func(_ *HFConfig, m rawModel) { m[someProjection] = m[EmbeddingName] }},
		"has shape [16 16]": {true, func(_ *HFConfig, m rawModel) { m[someProjection] = rawTensor{"U8", []int{16, 16}, make([]byte, 256)} }},
		"is U8":             {false, func(_ *HFConfig, m rawModel) { m[someNorm] = rawTensor{"U8", []int{16}, make([]byte, 16)} }},
		"is I8":             {true, func(_ *HFConfig, m rawModel) { m[someProjection] = rawTensor{"I8", []int{4, 16}, make([]byte, 64)} }},
		"holds NaN at element 3": {false, func(_ *HFConfig, m rawModel) {
			copy(m[someProjection].data[12:], float32Bytes(float32(math.NaN())))
		}},
		"holds -Inf at element 0": {false, func(_ *HFConfig, m rawModel) {
			copy(m[someNorm].data, float32Bytes(float32(math.Inf(-1))))
		}},
		"none of -1, 0 and 1": {true, func(_ *HFConfig, m rawModel) { m[someProjection].data[5] = 0b00110000 }},
		"must be positive": {true, func(_ *HFConfig, m rawModel) {
			m[ScaleName(someProjection)] = rawTensor{"F32", []int{1}, float32Bytes(0)}
		}},
		"lm_head.weight is not":       {false, func(_ *HFConfig, m rawModel) { m[headName] = m[someProjection] }},
		"between 1 and":               {false, func(c *HFConfig, _ rawModel) { c.VocabSize = 1 << 40 }},
		"must be at least 1":          {false, func(c *HFConfig, _ rawModel) { c.Heads = 0 }},
		"model_type is":               {false, func(c *HFConfig, _ rawModel) { c.ModelType = "llama" }},
		"tie_word_embeddings":         {false, func(c *HFConfig, _ rawModel) { c.TieWordEmbeddings = false }},
		"attention_bias":              {false, func(c *HFConfig, _ rawModel) { c.AttentionBias = true }},
		"rope_scaling":                {false, func(c *HFConfig, _ rawModel) { c.RopeScaling = map[string]any{"factor": 2} }},
		"rope_type":                   {false, func(c *HFConfig, _ rawModel) { c.RopeParameters = &ropeParameters{1e4, "yarn"} }},
		"no quantization_config":      {false, func(c *HFConfig, _ rawModel) { c.Quantization = nil }},
		"linear_class \"bitlinear\"":  {true, func(c *HFConfig, _ rawModel) { c.Quantization["linear_class"] = "bitlinear" }},
		"quantization_mode is \"<nil": {true, func(c *HFConfig, _ rawModel) { delete(c.Quantization, "quantization_mode") }},
		"use_rms_norm":                {false, func(c *HFConfig, _ rawModel) { c.Quantization["use_rms_norm"] = true }},
		"it cannot be packed":         {true, func(c *HFConfig, _ rawModel) { c.IntermediateSize = 13 }},
	} {
		t.Run(want, func(t *testing.T) {
			dir := t.TempDir()
			c, m := smallModel(row.packed)
			row.change(&c, m)
			writeModel(t, dir, c, m)
			_, err := ReadWeights(dir)
			require.ErrorContains(t, err, want)
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

func TestHostileConfig(t *testing.T) {
	for want, text := range map[string]string{
		"config.json: unexpected end":  `{"model_type":`,
		"invalid character":            "\x00\x01",
		"cannot unmarshal":             `{"model_type":"bitnet","hidden_size":"many"}`,
		"cannot unmarshal number 1e99": `{"model_type":"bitnet","hidden_size":1e99}`,
		"model_type is \"a\\nb\"":      `{"model_type":"a\nb"}`,
		"exceeded max depth":           strings.Repeat("[", 1<<20),
		"is larger than":               strings.Repeat(" ", maxJSON+2),
	} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o644))
		_, err := ReadWeights(dir)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "\n")
	}
	_, err := ReadWeights(t.TempDir())
	require.ErrorContains(t, err, "not a model directory")
}

// Masters in fewer bits are widened, a head that is the embedding is allowed,
// and a model may lie in several files.
func TestReadWeightsForms(t *testing.T) {
	c, m := smallModel(false)
	plain := t.TempDir()
	writeModel(t, plain, c, m)
	want, err := ReadWeights(plain)
	require.NoError(t, err)

	c.RopeTheta, c.RopeParameters = 0, &ropeParameters{want.Config.RopeTheta, "default"}
	m[headName] = m[EmbeddingName]
	rounded := rawModel{}
	for name, r := range m {
		var half, brain []byte
		for i := 0; i < len(r.data); i += 4 {
			bits := binary.LittleEndian.Uint32(r.data[i:])
			half = binary.LittleEndian.AppendUint16(half, gguf.Half(math.Float32frombits(bits)))
			brain = binary.LittleEndian.AppendUint16(brain, uint16(bits>>16))
		}
		rounded[name] = rawTensor{"F16", r.shape, half}
		if strings.Contains(name, "mlp") {
			rounded[name] = rawTensor{"BF16", r.shape, brain}
		}
	}
	dir := t.TempDir()
	writeModel(t, dir, c, rounded)
	got, err := ReadWeights(dir)
	require.NoError(t, err)
	require.InEpsilon(t, want.Ternary[someProjection].Scale, got.Ternary[someProjection].Scale, 1e-3)

	// The same in two files.
	files := map[string]string{}
	parts := map[string]rawModel{"a.safetensors": {}, "b.safetensors": {}}
	for name, r := range m {
		file := "a.safetensors"
		if strings.Contains(name, "mlp") {
			file = "b.safetensors"
		}
		files[name], parts[file][name] = file, r
	}
	index := func(files map[string]string) string {
		dir := t.TempDir()
		writeModel(t, dir, c, m)
		require.NoError(t, os.Remove(filepath.Join(dir, WeightsName)))
		for file, part := range parts {
			part.write(t, filepath.Join(dir, file))
		}
		text, err := json.Marshal(map[string]any{"weight_map": files})
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, indexName), text, 0o644))
		return dir
	}
	got, err = ReadWeights(index(files))
	require.NoError(t, err)
	require.Equal(t, want, got)

	files[someNorm] = "b.safetensors"
	_, err = ReadWeights(index(files))
	require.ErrorContains(t, err, "is not where")
	for _, bad := range []string{"../a.safetensors", "/etc/passwd", "..", "x/../a.safetensors", `..\a.safetensors`, "a.bin", ""} {
		files[someNorm] = bad
		_, err = ReadWeights(index(files))
		require.ErrorContains(t, err, "not a .safetensors file of the folder", bad)
	}
	require.NoError(t, os.Remove(filepath.Join(plain, WeightsName)))
	_, err = ReadWeights(plain)
	require.ErrorContains(t, err, "there is no")
}

func FuzzConfig(f *testing.F) {
	for _, packed := range []bool{false, true} {
		c, _ := smallModel(packed)
		text, _ := json.Marshal(c)
		f.Add(text)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), text, 0o644))
		c, err := ReadHFConfig(dir)
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		require.NoError(t, c.Config.check())
	})
}

func FuzzReadWeights(f *testing.F) {
	dirs := map[bool]string{false: f.TempDir(), true: f.TempDir()}
	for packed, dir := range dirs {
		c, m := smallModel(packed)
		writeModel(f, dir, c, m)
		file, err := os.ReadFile(filepath.Join(dir, WeightsName))
		require.NoError(f, err)
		f.Add(packed, file)
	}
	f.Fuzz(func(t *testing.T, packed bool, file []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(dirs[packed], WeightsName), file, 0o644))
		w, err := ReadWeights(dirs[packed])
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		_, err = w.Forward([]uint32{1, 2}, PerToken)
		require.NoError(t, err)
	})
}

func FuzzReadGGUF(f *testing.F) {
	c, m := smallModel(true)
	dir := f.TempDir()
	writeModel(f, dir, c, m)
	w, err := ReadWeights(dir)
	require.NoError(f, err)
	tok, err := tokenizer.Characters("abcd")
	require.NoError(f, err)
	vocab, err := newGGUFVocab(tok, c.VocabSize, func(string) {})
	require.NoError(f, err)
	path := filepath.Join(dir, "m.gguf")
	for _, typ := range []string{"f32", "f16"} {
		e := &exporter{config: c, weights: w, done: Exported{Type: typ}}
		require.NoError(f, e.writeGGUF(path, "m", vocab))
		file, err := os.ReadFile(path)
		require.NoError(f, err)
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		require.NoError(t, os.WriteFile(path, file, 0o644))
		w, _, err := readGGUF(path)
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		_, err = w.Forward([]uint32{1, 2}, PerToken)
		require.NoError(t, err)
	})
}
