package modelfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"bitnet/data/plainfile"
	"bitnet/data/tokenizer"
)

// maxJSON bounds the JSON files of a model; an index of a million tensors fits.
const maxJSON = 64 << 20

func readJSON(path string, v any) error {
	text, err := plainfile.Read(path, maxJSON)
	if err != nil {
		return fmt.Errorf("reading %s: %w", path, err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%s: %s", path, oneLine(err))
	}
	return nil
}

// InitialStd is the standard deviation of fresh weights. With it logits start
// small and the first loss is ln(vocab).
const InitialStd = 0.02

// HFConfig is transformers' config.json.
type HFConfig struct {
	Architectures []string `json:"architectures"`
	ModelType     string   `json:"model_type"`
	Config
	TieWordEmbeddings bool           `json:"tie_word_embeddings"`
	AttentionBias     bool           `json:"attention_bias"`
	BOS               *uint32        `json:"bos_token_id"`
	EOS               *uint32        `json:"eos_token_id"`
	Pad               *uint32        `json:"pad_token_id,omitempty"`
	TorchDType        string         `json:"torch_dtype"`
	InitializerRange  float64        `json:"initializer_range"`
	Quantization      map[string]any `json:"quantization_config,omitempty"`
	RopeScaling       map[string]any `json:"rope_scaling,omitempty"`
	// RopeParameters is where newer versions of transformers keep rope_theta.
	RopeParameters *ropeParameters `json:"rope_parameters,omitempty"`
}

type ropeParameters struct {
	Theta float64 `json:"rope_theta"`
	Type  string  `json:"rope_type"`
}

// NewHFConfig is the config.json of float masters, which are quantised at every forward.
func NewHFConfig(m Config, tok *tokenizer.Tokenizer) HFConfig {
	c := HFConfig{
		Architectures: []string{"BitNetForCausalLM"}, ModelType: "bitnet", Config: m,
		TieWordEmbeddings: true, TorchDType: "float32", InitializerRange: InitialStd,
		Quantization: map[string]any{"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "online"},
	}
	id := func(v uint32, ok bool) *uint32 {
		if !ok {
			return nil
		}
		return &v
	}
	if tok != nil {
		c.BOS, c.EOS, c.Pad = id(tok.BOS()), id(tok.EOS()), id(tok.Pad())
	}
	return c
}

// ReadHFConfig reads config.json of a transformers BitNet directory and
// refuses what bitnet would compute differently.
func ReadHFConfig(dir string) (HFConfig, error) {
	var c HFConfig
	path := filepath.Join(dir, "config.json")
	err := readJSON(path, &c)
	if errors.Is(err, fs.ErrNotExist) && IsAdapter(dir) {
		return c, fmt.Errorf("%s is an adapter and not a model: give the model that it belongs to", dir)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("%s is not a model directory: it has no config.json", dir)
	}
	if err != nil {
		return c, err
	}
	if err := c.check(); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// ReadFloatConfig reads config.json of a BitNet directory of which nothing is quantised, and
// refuses any other.
func ReadFloatConfig(dir string) (Config, error) {
	var c HFConfig
	path := filepath.Join(dir, "config.json")
	err := readJSON(path, &c)
	if err != nil {
		return c.Config, err
	}
	switch {
	case c.ModelType != "bitnet" || len(c.Quantization) > 0:
		err = fmt.Errorf("model_type is %.40q and quantization_config has %d keys, which is not a float model", c.ModelType, len(c.Quantization))
	default:
		if err = c.checkShared(); err == nil {
			err = c.Config.Check()
		}
	}
	if err != nil {
		return c.Config, fmt.Errorf("%s: %w", path, err)
	}
	return c.Config, nil
}

// Packed reports whether projections are stored as ternary codes with a scale.
func (c *HFConfig) Packed() bool { return c.Quantization["quantization_mode"] == "offline" }

func (c *HFConfig) check() error {
	if c.ModelType == "llama" {
		return errors.New("model_type is \"llama\", a float model: make a ternary one of it with bitnet train --init")
	}
	if c.ModelType != "bitnet" {
		return fmt.Errorf("model_type is %.40q, this program reads \"bitnet\"", c.ModelType)
	}
	if err := c.checkShared(); err != nil {
		return err
	}
	q := c.Quantization
	switch {
	case len(q) == 0:
		return errors.New("it has no quantization_config, so that nothing would be quantised: a float model, such as bitnet export --merge --float writes, is for other programs; if the projections are float masters, add " +
			`"quantization_config": {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "online"}`)
	case q["quant_method"] != "bitnet" || q["linear_class"] != "autobitlinear":
		return fmt.Errorf("quantization_config has quant_method %.40q and linear_class %.40q; this program reads bitnet and autobitlinear", fmt.Sprint(q["quant_method"]), fmt.Sprint(q["linear_class"]))
	case q["quantization_mode"] != "online" && q["quantization_mode"] != "offline":
		return fmt.Errorf("quantization_mode is %.40q; this program reads online and offline", fmt.Sprint(q["quantization_mode"]))
	case q["use_rms_norm"] == true:
		return errors.New("quantization_config has use_rms_norm, norms inside of projections, which this program does not have")
	}
	return c.Config.Check()
}

// checkShared refuses what bitnet computes differently, in a ternary model or a
// float one.
func (c *HFConfig) checkShared() error {
	if r := c.RopeParameters; r != nil {
		if r.Type != "" && r.Type != "default" {
			return fmt.Errorf("rope_type is %.40q, this program reads \"default\"", r.Type)
		}
		c.RopeTheta = r.Theta
	}
	switch {
	case !c.TieWordEmbeddings:
		return errors.New("tie_word_embeddings is false; this program has one table for both ends")
	case len(c.RopeScaling) > 0:
		return errors.New("rope_scaling is given; this program turns every position by the same angles")
	case c.AttentionBias:
		return errors.New("attention_bias is true; this program has no biases")
	case c.Heads < 1 || c.KVHeads < 1:
		return fmt.Errorf("num_attention_heads %d and num_key_value_heads %d must be at least 1", c.Heads, c.KVHeads)
	}
	return nil
}

// ReadTrainable reads config.json of a transformers directory that can be
// trained: a BitNet model with float masters, or a float model of the Llama form,
// of which training makes a BitNet model of that architecture.
func ReadTrainable(dir string) (Config, error) {
	if IsLlama(dir) {
		c, err := readLlama(dir)
		return c.Config, err
	}
	c, err := ReadHFConfig(dir)
	if err == nil && c.Packed() {
		err = fmt.Errorf("%s: packed weights cannot be trained; give a directory with float masters, or train an adapter with --lora r=16", filepath.Join(dir, "config.json"))
	}
	return c.Config, err
}

// ReadFrozen reads config.json of a transformers directory that adapters can be trained
// on: a BitNet model, packed or with float masters.
func ReadFrozen(dir string) (Config, error) {
	c, err := ReadHFConfig(dir)
	return c.Config, err
}
