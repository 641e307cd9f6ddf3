package modelfile_test

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/modelfile/modelfiletest"
	"bitnet/data/hub/hubtest"
)

// smolConfig is SmolLM2-135M's config.json with sizes of Small.
const smolConfig = `{
  "architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 0, "eos_token_id": 0,
  "hidden_act": "silu", "hidden_size": 16, "initializer_range": 0.041666666666666664, "intermediate_size": 12, "is_llama_config": true,
  "max_position_embeddings": 16, "mlp_bias": false, "model_type": "llama", "num_attention_heads": 2, "num_hidden_layers": 1,
  "num_key_value_heads": 1, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_interleaved": false, "rope_scaling": null,
  "rope_theta": 100000, "tie_word_embeddings": true, "torch_dtype": "bfloat16", "transformers_version": "4.40.1", "use_cache": true, "vocab_size": 8}`

// llama writes a directory of the Llama form with Small's weights; change spoils it.
func llama(t *testing.T, change func(c map[string]any, m modelfiletest.Model)) string {
	t.Helper()
	dir := t.TempDir()
	var c map[string]any
	require.NoError(t, json.Unmarshal([]byte(smolConfig), &c))
	_, m := modelfiletest.Small(false)
	for name := range m {
		if strings.Contains(name, "sub_norm") {
			delete(m, name)
		}
	}
	if change != nil {
		change(c, m)
	}
	text, err := json.Marshal(c)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.json"), text, 0o644))
	m.WriteTensors(t, filepath.Join(dir, modelfile.WeightsName))
	return dir
}

func TestLlama(t *testing.T) {
	for dtype, name := range map[string]string{"F32": modelfiletest.Projection, "BF16": modelfiletest.Projection, "F16": modelfiletest.Norm} {
		dir := llama(t, func(c map[string]any, m modelfiletest.Model) {
			if dtype == "F32" {
				return
			}
			x := m[name]
			x.DType = dtype
			var half []byte
			for i := 0; i < len(x.Data); i += 4 {
				if dtype == "BF16" {
					half = append(half, x.Data[i+2:i+4]...)
				} else {
					half = append(half, 0, 0x3c) // 1
				}
			}
			x.Data = half
			m[name] = x
		})
		require.True(t, modelfile.IsLlama(dir))
		c, err := modelfile.ReadTrainable(dir)
		require.NoError(t, err)
		require.Equal(t, modelfile.Config{VocabSize: 8, HiddenSize: 16, IntermediateSize: 12, Layers: 1, Heads: 2, KVHeads: 1,
			MaxPositions: 16, HiddenAct: "silu", NormEps: 1e-5, RopeTheta: 100000}, c)
		files, err := modelfile.OpenMasters(dir)
		require.NoError(t, err)
		for _, s := range c.Tensors() {
			n := 1
			for _, d := range s.Shape {
				n *= d
			}
			require.NoError(t, files.CheckFloats(s.Name, s.Shape))
			values := make([]float32, n)
			require.NoError(t, files.Floats(s.Name, values))
			for i, v := range values {
				switch want := float32(math.Sin(float64(3*i + len(s.Name)))); {
				case strings.Contains(s.Name, "sub_norm"), s.Name == name && dtype == "F16":
					require.Equal(t, float32(1), v, s.Name)
				case s.Name == name && dtype == "BF16":
					require.InDelta(t, want, v, 0.008, s.Name)
				default:
					require.Equal(t, want, v, s.Name)
				}
			}
		}
		files.Close()

		_, err = modelfile.ReadWeights(dir)
		require.ErrorContains(t, err, "a float model: make a ternary one of it with bitnet train --init", "nothing else takes it for a ternary one")
	}
}

// Values that transformers leaves out, and ways to say the same.
func TestLlamaDefaults(t *testing.T) {
	dir := llama(t, func(c map[string]any, m modelfiletest.Model) {
		for _, key := range []string{"rope_theta", "rope_scaling", "rms_norm_eps", "mlp_bias", "attention_bias", "pretraining_tp", "rope_interleaved"} {
			delete(c, key)
		}
		c["head_dim"], c["sliding_window"] = 8, nil
		c["rope_parameters"] = map[string]any{"rope_theta": 5000, "rope_type": "default"}
		m["lm_head.weight"] = m[modelfile.EmbeddingName]
		m["model.layers.0.self_attn.rotary_emb.inv_freq"] = modelfiletest.NewTensor("F32", []int{1}, modelfiletest.Floats(1))
	})
	c, err := modelfile.ReadTrainable(dir)
	require.NoError(t, err)
	require.Equal(t, 5000.0, c.RopeTheta)
	require.Equal(t, 1e-6, c.NormEps)
	files, err := modelfile.OpenMasters(dir)
	require.NoError(t, err)
	files.Close()

	dir = llama(t, func(c map[string]any, _ modelfiletest.Model) {
		delete(c, "rope_theta")
		c["rope_scaling"] = map[string]any{"rope_type": "default"}
	})
	c, err = modelfile.ReadTrainable(dir)
	require.NoError(t, err)
	require.Equal(t, 10000.0, c.RopeTheta)
}

// What bitnet would compute differently is refused, in one line.
func TestLlamaRefused(t *testing.T) {
	set := func(key string, v any) func(map[string]any, modelfiletest.Model) {
		return func(c map[string]any, _ modelfiletest.Model) { c[key] = v }
	}
	for want, change := range map[string]func(map[string]any, modelfiletest.Model){
		"attention_bias is true":       set("attention_bias", true),
		"mlp_bias is true":             set("mlp_bias", true),
		"sliding_window is 4096":       set("sliding_window", 4096),
		"rope_scaling is given":        set("rope_scaling", map[string]any{"rope_type": "llama3", "factor": 8}),
		`rope_type is "yarn"`:          set("rope_parameters", map[string]any{"rope_theta": 5000, "rope_type": "yarn"}),
		"partial_rotary_factor is 0.5": set("partial_rotary_factor", 0.5),
		"rope_interleaved is true":     set("rope_interleaved", true),
		"tie_word_embeddings is false": set("tie_word_embeddings", false),
		`hidden_act is "gelu"`:         set("hidden_act", "gelu"),
		"head_dim is 4":                set("head_dim", 4),
		"pretraining_tp is 2":          set("pretraining_tp", 2),
		"with a quantization_config":   set("quantization_config", map[string]any{"quant_method": "gptq"}),
		"num_attention_heads 0":        set("num_attention_heads", 0),
		"hidden_size 18 is not":        func(c map[string]any, _ modelfiletest.Model) { c["hidden_size"], c["num_attention_heads"] = 18, 4 },
		"vocab_size":                   set("vocab_size", "many"),
		"q_proj.bias": func(_ map[string]any, m modelfiletest.Model) {
			m["model.layers.0.self_attn.q_proj.bias"] = m[modelfiletest.Norm]
		},
		"attn_sub_norm": func(_ map[string]any, m modelfiletest.Model) {
			m["model.layers.0.self_attn.attn_sub_norm.weight"] = m[modelfiletest.Norm]
		},
		"lm_head.weight is not":           func(_ map[string]any, m modelfiletest.Model) { m["lm_head.weight"] = m[modelfiletest.Projection] },
		"tensor model.norm.weight is mis": func(_ map[string]any, m modelfiletest.Model) { delete(m, modelfile.FinalNormName) },
		"has shape [8]": func(_ map[string]any, m modelfiletest.Model) {
			m[modelfiletest.Norm] = modelfiletest.NewTensor("F32", []int{8}, modelfiletest.Floats(1, 2, 3, 4, 5, 6, 7, 8))
		},
	} {
		t.Run(want, func(t *testing.T) {
			err := load(llama(t, change))
			require.ErrorContains(t, err, want)
			require.NotContains(t, err.Error(), "\n")
		})
	}
}

// load reads everything that training reads of a directory.
func load(dir string) error {
	c, err := modelfile.ReadTrainable(dir)
	if err != nil {
		return err
	}
	files, err := modelfile.OpenMasters(dir)
	if err != nil {
		return err
	}
	defer files.Close()
	for _, s := range c.Tensors() {
		if err := files.CheckFloats(s.Name, s.Shape); err != nil {
			return err
		}
	}
	return nil
}

// A float model on the hub is downloaded for training; one that cannot be loaded
// is refused before its weights are.
func TestLlamaFromTheHub(t *testing.T) {
	server := hubtest.New(t)
	t.Setenv("HF_ENDPOINT", server.URL)
	t.Setenv("HF_HOME", t.TempDir())
	t.Setenv("HF_HUB_CACHE", "")
	t.Setenv("HF_HUB_OFFLINE", "")
	files := func(dir string) map[string][]byte {
		out := map[string][]byte{}
		for _, name := range []string{"config.json", modelfile.WeightsName} {
			b, err := os.ReadFile(filepath.Join(dir, name))
			require.NoError(t, err)
			out[name] = b
		}
		return out
	}
	server.Add("models", "org/float", files(llama(t, nil)))
	server.Add("models", "org/biased", files(llama(t, func(c map[string]any, _ modelfiletest.Model) { c["mlp_bias"] = true })))
	dir, err := modelfile.Resolve(t.Context(), "runs", "org/float", func(string) {})
	require.NoError(t, err)
	require.NoError(t, load(dir))
	before := len(server.Requests())
	_, err = modelfile.Resolve(t.Context(), "runs", "org/biased", func(string) {})
	require.ErrorContains(t, err, "mlp_bias is true")
	for _, r := range server.Requests()[before:] {
		require.NotContains(t, r, "safetensors")
	}
}
