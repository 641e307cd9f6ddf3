package modelfile

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// The Llama form: a float model of transformers' LlamaForCausalLM. It differs
// from BitNetForCausalLM in that nothing is quantised, and in two norms a layer
// that BitNet has before its o and down projections. Training makes a ternary
// model of it: the norms are inserted with gains of one (SubLN of BitDistill,
// arXiv 2510.13998), and the projections become masters.

// llamaConfig is what config.json of the Llama form has beyond HFConfig.
type llamaConfig struct {
	HFConfig
	HeadDimension *int     `json:"head_dim"`
	MLPBias       bool     `json:"mlp_bias"`
	Window        *int     `json:"sliding_window"`
	UseWindow     *bool    `json:"use_sliding_window"`
	Rotary        *float64 `json:"partial_rotary_factor"`
	Interleaved   bool     `json:"rope_interleaved"`
	Splits        *int     `json:"pretraining_tp"`
}

// subNorms are the norms that the Llama form lacks.
var subNorms = []string{"self_attn.attn_sub_norm.weight", "mlp.ffn_sub_norm.weight"}

// isSubNorm reports whether a tensor is one of subNorms.
func isSubNorm(name string) bool {
	return slices.ContainsFunc(subNorms, func(s string) bool { return strings.HasSuffix(name, "."+s) })
}

// IsLlama reports whether dir holds a float model of the Llama form.
func IsLlama(dir string) bool {
	var c struct {
		ModelType string `json:"model_type"`
	}
	return readJSON(filepath.Join(dir, "config.json"), &c) == nil && c.ModelType == "llama"
}

// readLlama reads config.json of the Llama form and refuses what bitnet would
// compute differently.
func readLlama(dir string) (HFConfig, error) {
	var c llamaConfig
	path := filepath.Join(dir, "config.json")
	if err := readJSON(path, &c); err != nil {
		return HFConfig{}, err
	}
	if err := c.check(); err != nil {
		return HFConfig{}, fmt.Errorf("%s: %w", path, err)
	}
	return c.HFConfig, nil
}

func (c *llamaConfig) check() error {
	if c.KVHeads == 0 {
		c.KVHeads = c.Heads // as in the first of these models
	}
	if c.NormEps == 0 {
		c.NormEps = 1e-6 // transformers' default
	}
	if c.RopeTheta == 0 && c.RopeParameters == nil {
		c.RopeTheta = 10000 // transformers' default
	}
	switch {
	case len(c.Quantization) > 0:
		return errors.New("model_type is \"llama\" with a quantization_config; of this type this program reads float weights only")
	case c.MLPBias:
		return errors.New("mlp_bias is true; this program has no biases")
	case c.Window != nil && (c.UseWindow == nil || *c.UseWindow):
		return fmt.Errorf("sliding_window is %d; in this program every token sees all before it", *c.Window)
	case c.Rotary != nil && *c.Rotary != 1:
		return fmt.Errorf("partial_rotary_factor is %g; this program turns whole heads", *c.Rotary)
	case c.Interleaved:
		return errors.New("rope_interleaved is true; this program turns the halves of a head against each other")
	case c.Splits != nil && *c.Splits > 1:
		return fmt.Errorf("pretraining_tp is %d; this program computes projections whole", *c.Splits)
	case c.HiddenAct != "silu":
		return fmt.Errorf("hidden_act is %.40q; this program reads \"silu\" in a float model", c.HiddenAct)
	case len(c.RopeScaling) > 0 && defaultRope(c.RopeScaling):
		c.RopeScaling = nil
	}
	if err := c.checkShared(); err != nil {
		return err
	}
	if d := c.HeadDimension; d != nil && *d != c.HeadDim() {
		return fmt.Errorf("head_dim is %d; this program has heads of hidden_size/num_attention_heads = %d features", *d, c.HeadDim())
	}
	return c.Config.Check()
}

// defaultRope reports whether rope_scaling only says that nothing is scaled.
func defaultRope(scaling map[string]any) bool {
	kind, ok := scaling["rope_type"]
	if !ok {
		kind, ok = scaling["type"]
	}
	return ok && kind == "default"
}

// OpenMasters opens the masters of a model directory that can be trained; those
// of the Llama form have sub-norms with gains of one.
func OpenMasters(dir string) (*Tensors, error) {
	t, err := OpenTensors(filepath.Join(dir, WeightsName))
	if err != nil {
		return nil, err
	}
	if !IsLlama(dir) {
		return t, nil
	}
	if err := t.checkLlama(dir); err != nil {
		t.Close()
		return nil, err
	}
	t.subNorms = true
	return t, nil
}

// checkLlama refuses tensors that the form does not have, such as biases, so that
// no part of a model is left out.
func (t *Tensors) checkLlama(dir string) error {
	c, err := readLlama(dir)
	if err != nil {
		return err
	}
	known := map[string]bool{headName: true}
	for _, s := range c.Tensors() {
		known[s.Name] = !isSubNorm(s.Name)
	}
	for _, name := range t.names() {
		// Buffers of earlier versions of transformers, which hold no weights.
		if !known[name] && !strings.HasSuffix(name, ".rotary_emb.inv_freq") {
			return fmt.Errorf("%s: tensor %.80q does not belong to this architecture: is the configuration that of a different model?", t.of[name].path, name)
		}
	}
	embedding, ok := t.of[EmbeddingName]
	if _, head := t.of[headName]; !ok || !head {
		return nil
	}
	values := make([]float32, t.Elements(EmbeddingName))
	if err := embedding.Float32s(EmbeddingName, values); err != nil {
		return err
	}
	return t.checkHead(values)
}
