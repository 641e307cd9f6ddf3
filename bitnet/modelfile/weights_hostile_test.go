package modelfile_test

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/modelfile/gguf"
	"bitnet/bitnet/modelfile/modelfiletest"
)

// What is wrong with a model is said in one line.
func TestHostileWeights(t *testing.T) {
	for want, row := range map[string]struct {
		packed bool
		change func(c *modelfile.HFConfig, m modelfiletest.Model)
	}{
		"input_layernorm.weight is missing": {false, func(_ *modelfile.HFConfig, m modelfiletest.Model) { delete(m, modelfiletest.Norm) }},
		"weight_scale is missing": {true, func(_ *modelfile.HFConfig, m modelfiletest.Model) {
			delete(m, modelfile.ScaleName(modelfiletest.Projection))
		}},
		`"evil\nname" does not belong to this architecture`: {false, func(_ *modelfile.HFConfig, m modelfiletest.Model) { m["evil\nname"] = m[modelfiletest.Norm] }},
		"weight_scale\" does not belong to this architecture": {false, func(_ *modelfile.HFConfig, m modelfiletest.Model) {
			m[modelfile.ScaleName(modelfiletest.Projection)] = modelfiletest.NewTensor("F32", []int{1}, modelfiletest.Floats(1))
		}},
		"has shape [8 16]": {false, func(_ *modelfile.HFConfig, m modelfiletest.Model) {
			m[modelfiletest.Projection] = m[modelfile.EmbeddingName]
		}},
		"has shape [16 16]": {true, func(_ *modelfile.HFConfig, m modelfiletest.Model) {
			m[modelfiletest.Projection] = modelfiletest.NewTensor("U8", []int{16, 16}, make([]byte, 256))
		}},
		"is U8": {false, func(_ *modelfile.HFConfig, m modelfiletest.Model) {
			m[modelfiletest.Norm] = modelfiletest.NewTensor("U8", []int{16}, make([]byte, 16))
		}},
		"is I8": {true, func(_ *modelfile.HFConfig, m modelfiletest.Model) {
			m[modelfiletest.Projection] = modelfiletest.NewTensor("I8", []int{4, 16}, make([]byte, 64))
		}},
		"holds NaN at element 3": {false, func(_ *modelfile.HFConfig, m modelfiletest.Model) {
			copy(m[modelfiletest.Projection].Data[12:], modelfiletest.Floats(float32(math.NaN())))
		}},
		"holds -Inf at element 0": {false, func(_ *modelfile.HFConfig, m modelfiletest.Model) {
			copy(m[modelfiletest.Norm].Data, modelfiletest.Floats(float32(math.Inf(-1))))
		}},
		"other than -1, 0 and 1": {true, func(_ *modelfile.HFConfig, m modelfiletest.Model) { m[modelfiletest.Projection].Data[5] = 0b00110000 }},
		"must be positive": {true, func(_ *modelfile.HFConfig, m modelfiletest.Model) {
			m[modelfile.ScaleName(modelfiletest.Projection)] = modelfiletest.NewTensor("F32", []int{1}, modelfiletest.Floats(0))
		}},
		"lm_head.weight is not": {false, func(_ *modelfile.HFConfig, m modelfiletest.Model) {
			m[modelfile.HeadName] = m[modelfiletest.Projection]
		}},
		"between 1 and":       {false, func(c *modelfile.HFConfig, _ modelfiletest.Model) { c.VocabSize = 1 << 40 }},
		"must be at least 1":  {false, func(c *modelfile.HFConfig, _ modelfiletest.Model) { c.Heads = 0 }},
		"model_type is":       {false, func(c *modelfile.HFConfig, _ modelfiletest.Model) { c.ModelType = "llama" }},
		"tie_word_embeddings": {false, func(c *modelfile.HFConfig, _ modelfiletest.Model) { c.TieWordEmbeddings = false }},
		"attention_bias":      {false, func(c *modelfile.HFConfig, _ modelfiletest.Model) { c.AttentionBias = true }},
		"rope_scaling":        {false, func(c *modelfile.HFConfig, _ modelfiletest.Model) { c.RopeScaling = map[string]any{"factor": 2} }},
		"rope_type": {false, func(c *modelfile.HFConfig, _ modelfiletest.Model) {
			c.RopeParameters = &modelfile.RopeParameters{Theta: 1e4, Type: "yarn"}
		}},
		"no quantization_config":      {false, func(c *modelfile.HFConfig, _ modelfiletest.Model) { c.Quantization = nil }},
		"linear_class \"bitlinear\"":  {true, func(c *modelfile.HFConfig, _ modelfiletest.Model) { c.Quantization["linear_class"] = "bitlinear" }},
		"quantization_mode is \"<nil": {true, func(c *modelfile.HFConfig, _ modelfiletest.Model) { delete(c.Quantization, "quantization_mode") }},
		"use_rms_norm":                {false, func(c *modelfile.HFConfig, _ modelfiletest.Model) { c.Quantization["use_rms_norm"] = true }},
		"it cannot be packed":         {true, func(c *modelfile.HFConfig, _ modelfiletest.Model) { c.IntermediateSize = 13 }},
	} {
		t.Run(want, func(t *testing.T) {
			dir := t.TempDir()
			c, m := modelfiletest.Small(row.packed)
			row.change(&c, m)
			modelfiletest.Write(t, dir, c, m)
			_, err := modelfile.ReadWeights(dir)
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
		"is larger than":               strings.Repeat(" ", modelfile.MaxJSON+2),
	} {
		dir := t.TempDir()
		require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(text), 0o644))
		_, err := modelfile.ReadWeights(dir)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "\n")
	}
	_, err := modelfile.ReadWeights(t.TempDir())
	require.ErrorContains(t, err, "not a model directory")
}

// Masters in fewer bits are widened, a head that is the embedding is allowed,
// and a model may lie in several files.
func TestReadWeightsForms(t *testing.T) {
	c, m := modelfiletest.Small(false)
	plain := t.TempDir()
	modelfiletest.Write(t, plain, c, m)
	want, err := modelfile.ReadWeights(plain)
	require.NoError(t, err)

	c.RopeTheta, c.RopeParameters = 0, &modelfile.RopeParameters{Theta: want.Config.RopeTheta, Type: "default"}
	m[modelfile.HeadName] = m[modelfile.EmbeddingName]
	rounded := modelfiletest.Model{}
	for name, r := range m {
		var half, brain []byte
		for i := 0; i < len(r.Data); i += 4 {
			bits := binary.LittleEndian.Uint32(r.Data[i:])
			half = binary.LittleEndian.AppendUint16(half, gguf.Half(math.Float32frombits(bits)))
			brain = binary.LittleEndian.AppendUint16(brain, uint16(bits>>16))
		}
		rounded[name] = modelfiletest.NewTensor("F16", r.Shape, half)
		if strings.Contains(name, "mlp") {
			rounded[name] = modelfiletest.NewTensor("BF16", r.Shape, brain)
		}
	}
	dir := t.TempDir()
	modelfiletest.Write(t, dir, c, rounded)
	got, err := modelfile.ReadWeights(dir)
	require.NoError(t, err)
	require.InEpsilon(t, want.Ternary[modelfiletest.Projection].Scale, got.Ternary[modelfiletest.Projection].Scale, 1e-3)

	// The same in two files.
	files := map[string]string{}
	parts := map[string]modelfiletest.Model{"a.safetensors": {}, "b.safetensors": {}}
	for name, r := range m {
		file := "a.safetensors"
		if strings.Contains(name, "mlp") {
			file = "b.safetensors"
		}
		files[name], parts[file][name] = file, r
	}
	index := func(files map[string]string) string {
		dir := t.TempDir()
		modelfiletest.Write(t, dir, c, m)
		require.NoError(t, os.Remove(filepath.Join(dir, modelfile.WeightsName)))
		for file, part := range parts {
			part.WriteTensors(t, filepath.Join(dir, file))
		}
		text, err := json.Marshal(map[string]any{"weight_map": files})
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, modelfile.IndexName), text, 0o644))
		return dir
	}
	got, err = modelfile.ReadWeights(index(files))
	require.NoError(t, err)
	require.Equal(t, want, got)

	files[modelfiletest.Norm] = "b.safetensors"
	_, err = modelfile.ReadWeights(index(files))
	require.ErrorContains(t, err, "is not where")
	for _, bad := range []string{"../a.safetensors", "/etc/passwd", "..", "x/../a.safetensors", `..\a.safetensors`, "a.bin", ""} {
		files[modelfiletest.Norm] = bad
		_, err = modelfile.ReadWeights(index(files))
		require.ErrorContains(t, err, "not a .safetensors file of the folder", bad)
	}
	require.NoError(t, os.Remove(filepath.Join(plain, modelfile.WeightsName)))
	_, err = modelfile.ReadWeights(plain)
	require.ErrorContains(t, err, "there is no")
}

func FuzzConfig(f *testing.F) {
	for _, packed := range []bool{false, true} {
		c, _ := modelfiletest.Small(packed)
		text, _ := json.Marshal(c)
		f.Add(text)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), text, 0o644))
		c, err := modelfile.ReadHFConfig(dir)
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		require.NoError(t, c.Config.Check())
	})
}

func FuzzReadWeights(f *testing.F) {
	dirs := map[bool]string{false: f.TempDir(), true: f.TempDir()}
	for packed, dir := range dirs {
		c, m := modelfiletest.Small(packed)
		modelfiletest.Write(f, dir, c, m)
		file, err := os.ReadFile(filepath.Join(dir, modelfile.WeightsName))
		require.NoError(f, err)
		f.Add(packed, file)
	}
	f.Fuzz(func(t *testing.T, packed bool, file []byte) {
		require.NoError(t, os.WriteFile(filepath.Join(dirs[packed], modelfile.WeightsName), file, 0o644))
		w, err := modelfile.ReadWeights(dirs[packed])
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		_, err = w.Forward([]uint32{1, 2}, modelfile.PerToken)
		require.NoError(t, err)
	})
}
