package bitnet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const (
	weightsName = "model.safetensors"
	indexName   = weightsName + ".index.json"
)

// maxJSON bounds the JSON files of a model; an index of a million tensors fits.
const maxJSON = 64 << 20

func readJSON(path string, v any) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxJSON+1))
	if err != nil {
		return err
	}
	if len(text) > maxJSON {
		return fmt.Errorf("%s is larger than %d MB, which no model's is", path, maxJSON>>20)
	}
	if err := json.Unmarshal(text, v); err != nil {
		return fmt.Errorf("%s: %s", path, oneLine(err))
	}
	return nil
}

// readHFConfig reads config.json of a transformers BitNet directory and
// refuses what this program would compute in another way.
func readHFConfig(dir string) (hfConfig, error) {
	var c hfConfig
	path := filepath.Join(dir, "config.json")
	err := readJSON(path, &c)
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

func (c *hfConfig) packed() bool { return c.Quantization["quantization_mode"] == "offline" }

func (c *hfConfig) check() error {
	q := c.Quantization
	if r := c.RopeParameters; r != nil {
		if r.Type != "" && r.Type != "default" {
			return fmt.Errorf("rope_type is %.40q, this program reads \"default\"", r.Type)
		}
		c.RopeTheta = r.Theta
	}
	switch {
	case c.ModelType != "bitnet":
		return fmt.Errorf("model_type is %.40q, this program reads \"bitnet\"", c.ModelType)
	case !c.TieWordEmbeddings:
		return errors.New("tie_word_embeddings is false; this program has one table for both ends")
	case len(c.RopeScaling) > 0:
		return errors.New("rope_scaling is given; this program turns every position by the same angles")
	case c.AttentionBias:
		return errors.New("attention_bias is true; this program has no biases")
	case len(q) == 0:
		return errors.New("it has no quantization_config, so that nothing would be quantised; if the projections are float masters, add " +
			`"quantization_config": {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "online"}`)
	case q["quant_method"] != "bitnet" || q["linear_class"] != "autobitlinear":
		return fmt.Errorf("quantization_config has quant_method %.40q and linear_class %.40q; this program reads bitnet and autobitlinear", fmt.Sprint(q["quant_method"]), fmt.Sprint(q["linear_class"]))
	case q["quantization_mode"] != "online" && q["quantization_mode"] != "offline":
		return fmt.Errorf("quantization_mode is %.40q; this program reads online and offline", fmt.Sprint(q["quantization_mode"]))
	case q["use_rms_norm"] == true:
		return errors.New("quantization_config has use_rms_norm, norms inside of projections, which this program does not have")
	case c.Heads < 1 || c.KVHeads < 1:
		return fmt.Errorf("num_attention_heads %d and num_key_value_heads %d must be at least 1", c.Heads, c.KVHeads)
	}
	return c.ModelConfig.check()
}

// weightFiles gives the file at path, or where it is missing the files that
// the index beside it names; index says which tensor is in which.
func weightFiles(path string) (names []string, index map[string]string, err error) {
	if _, err := os.Stat(path); err == nil {
		return []string{filepath.Base(path)}, nil, nil
	}
	missing := path
	path += ".index.json"
	var f struct {
		WeightMap map[string]string `json:"weight_map"`
	}
	err = readJSON(path, &f)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("there is no %s, nor an index of several files beside it", missing)
	}
	if err != nil {
		return nil, nil, err
	}
	for tensor, name := range f.WeightMap {
		// A file of the folder itself, whatever a stranger's index says.
		if name != filepath.Base(name) || !filepath.IsLocal(name) || strings.ContainsAny(name, `/\:`) || !strings.HasSuffix(name, ".safetensors") {
			return nil, nil, fmt.Errorf("%s: tensor %.80q is said to be in %.80q, which is not a .safetensors file of the folder", path, tensor, name)
		}
		names = append(names, name)
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) == 0 {
		return nil, nil, fmt.Errorf("%s: it has no weight_map", path)
	}
	return names, f.WeightMap, nil
}
