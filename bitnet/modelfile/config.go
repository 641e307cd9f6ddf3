package modelfile

import (
	"fmt"
	"reflect"
)

// Config is the architecture of a model, under the names of transformers'
// config.json.
type Config struct {
	VocabSize        int     `yaml:"vocab_size" json:"vocab_size"`
	HiddenSize       int     `yaml:"hidden_size" json:"hidden_size"`
	IntermediateSize int     `yaml:"intermediate_size" json:"intermediate_size"`
	Layers           int     `yaml:"num_hidden_layers" json:"num_hidden_layers"`
	Heads            int     `yaml:"num_attention_heads" json:"num_attention_heads"`
	KVHeads          int     `yaml:"num_key_value_heads" json:"num_key_value_heads"`
	MaxPositions     int     `yaml:"max_position_embeddings" json:"max_position_embeddings"`
	HiddenAct        string  `yaml:"hidden_act" json:"hidden_act"` // silu or relu2
	NormEps          float64 `yaml:"rms_norm_eps" json:"rms_norm_eps"`
	RopeTheta        float64 `yaml:"rope_theta" json:"rope_theta"`
}

// HeadDim is the number of features of an attention head.
func (c Config) HeadDim() int { return c.HiddenSize / c.Heads }

// Difference names the first value in which c differs from want, with both
// values; it is "" if they are equal.
func (c Config) Difference(want Config) string {
	a, b := reflect.ValueOf(c), reflect.ValueOf(want)
	for i := range a.NumField() {
		if x, y := a.Field(i).Interface(), b.Field(i).Interface(); x != y {
			return fmt.Sprintf("%s is %v, not %v", a.Type().Field(i).Tag.Get("json"), x, y)
		}
	}
	return ""
}

// Check reports what bitnet cannot compute of an architecture.
func (c Config) Check() error {
	// Bounds that keep every product of sizes inside an int and the sums of
	// int8 products exact in float32 (below 2^24).
	for _, v := range []struct {
		key        string
		value, max int
	}{
		{"vocab_size", c.VocabSize, 1 << 20}, {"hidden_size", c.HiddenSize, 1 << 16}, {"intermediate_size", c.IntermediateSize, 1 << 17},
		{"num_hidden_layers", c.Layers, 1 << 10}, {"num_attention_heads", c.Heads, 1 << 16}, {"num_key_value_heads", c.KVHeads, 1 << 16},
		{"max_position_embeddings", c.MaxPositions, 1 << 24},
	} {
		if v.value < 1 || v.value > v.max {
			return fmt.Errorf("model.%s is %d: it must be between 1 and %d", v.key, v.value, v.max)
		}
	}
	switch {
	case c.HiddenSize%c.Heads != 0:
		return fmt.Errorf("model.hidden_size %d is not a multiple of num_attention_heads %d", c.HiddenSize, c.Heads)
	case c.HeadDim()%4 != 0:
		return fmt.Errorf("a head has hidden_size/num_attention_heads = %d features: it must be a multiple of 4", c.HeadDim())
	case c.Heads%c.KVHeads != 0:
		return fmt.Errorf("model.num_attention_heads %d is not a multiple of num_key_value_heads %d", c.Heads, c.KVHeads)
	case c.HiddenAct != "silu" && c.HiddenAct != "relu2":
		return fmt.Errorf("model.hidden_act is %q: it must be silu or relu2", c.HiddenAct)
	case !(c.NormEps > 0) || !(c.RopeTheta > 0):
		return fmt.Errorf("model.rms_norm_eps %g and rope_theta %g must be positive", c.NormEps, c.RopeTheta)
	}
	return nil
}

// Names of tensors outside the layers.
const (
	EmbeddingName = "model.embed_tokens.weight"
	FinalNormName = "model.norm.weight"

	headName = "lm_head.weight"
)

// LayerName is the name of a layer's tensor, such as mlp.up_proj.
func LayerName(layer int, tensor string) string {
	return fmt.Sprintf("model.layers.%d.%s.weight", layer, tensor)
}

// TensorShape describes one tensor of an architecture.
type TensorShape struct {
	Name    string
	Shape   []int
	Ternary bool
}

// Tensors lists every tensor of the architecture, in the order of the forward pass.
func (c Config) Tensors() []TensorShape {
	h, f, kv := c.HiddenSize, c.IntermediateSize, c.HeadDim()*c.KVHeads
	all := []TensorShape{{EmbeddingName, []int{c.VocabSize, h}, false}}
	for i := range c.Layers {
		norm := func(name string, width int) {
			all = append(all, TensorShape{LayerName(i, name), []int{width}, false})
		}
		projection := func(name string, rows, cols int) {
			all = append(all, TensorShape{LayerName(i, name), []int{rows, cols}, true})
		}
		norm("input_layernorm", h)
		projection("self_attn.q_proj", h, h)
		projection("self_attn.k_proj", kv, h)
		projection("self_attn.v_proj", kv, h)
		norm("self_attn.attn_sub_norm", h)
		projection("self_attn.o_proj", h, h)
		norm("post_attention_layernorm", h)
		projection("mlp.gate_proj", f, h)
		projection("mlp.up_proj", f, h)
		norm("mlp.ffn_sub_norm", f)
		projection("mlp.down_proj", h, f)
	}
	return append(all, TensorShape{FinalNormName, []int{h}, false})
}
