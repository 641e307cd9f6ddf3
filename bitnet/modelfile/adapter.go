package modelfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"

	"bitnet/data/atomicfile"
)

// Names of the files of an adapter in the form of PEFT.
const (
	AdapterConfigName  = "adapter_config.json"
	AdapterWeightsName = "adapter_model.safetensors"
)

// baseHashKey is where the metadata of an adapter's safetensors file names the base.
const baseHashKey = "base_sha256"

// Adapter are adapters of low rank on the host. Keys are the names of the weights of
// the projections.
type Adapter struct {
	LoRA
	Base     string // what it was trained on: a folder, or ORG/NAME on the hub
	BaseHash string // Weights.Hash of it; "" where it is not known
	A, B     map[string][]float32
}

// adapterConfig is PEFT's adapter_config.json.
type adapterConfig struct {
	PeftType      string          `json:"peft_type"`
	TaskType      string          `json:"task_type"`
	Base          string          `json:"base_model_name_or_path"`
	Rank          int             `json:"r"`
	Alpha         float64         `json:"lora_alpha"`
	Dropout       float64         `json:"lora_dropout"`
	Targets       json.RawMessage `json:"target_modules"`
	Bias          string          `json:"bias"`
	FanInFanOut   bool            `json:"fan_in_fan_out"`
	Inference     bool            `json:"inference_mode"`
	InitWeights   any             `json:"init_lora_weights"`
	ModulesToSave []string        `json:"modules_to_save"`
	Layers        json.RawMessage `json:"layers_to_transform"`
	RankPattern   map[string]any  `json:"rank_pattern"`
	AlphaPattern  map[string]any  `json:"alpha_pattern"`
	RSLoRA        bool            `json:"use_rslora"`
	DoRA          bool            `json:"use_dora"`
	LoRABias      bool            `json:"lora_bias,omitempty"`
}

// WriteAdapterConfig writes adapter_config.json.
func WriteAdapterConfig(dir string, l LoRA, base string) error {
	var modules []string
	for _, t := range l.Targets {
		modules = append(modules, t+"_proj")
	}
	targets, err := json.Marshal(modules)
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(adapterConfig{
		PeftType: "LORA", TaskType: "CAUSAL_LM", Base: base, Rank: l.Rank, Alpha: l.Alpha, Targets: targets,
		Bias: "none", Inference: true, InitWeights: true, Layers: json.RawMessage("null"),
		RankPattern: map[string]any{}, AlphaPattern: map[string]any{},
	}, "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, AdapterConfigName), append(text, '\n'))
}

// AdapterMetadata is the metadata of adapter_model.safetensors, which names the base by
// its Weights.Hash.
func AdapterMetadata(baseHash string) map[string]string {
	return map[string]string{"format": "pt", baseHashKey: baseHash}
}

// IsAdapter reports whether a folder holds an adapter and no model.
func IsAdapter(dir string) bool {
	has := func(name string) bool {
		_, err := os.Stat(filepath.Join(dir, name))
		return err == nil
	}
	return has(AdapterConfigName) && !has("config.json")
}

// AdapterBase is what an adapter was trained on, as its configuration names it.
func AdapterBase(dir string) (string, error) {
	c, err := readAdapterConfig(dir)
	return c.Base, err
}

// AdapterBaseHash is the Weights.Hash of what an adapter was trained on, or "" where
// its file does not say.
func AdapterBaseHash(dir string) (string, error) {
	files, err := OpenTensors(filepath.Join(dir, AdapterWeightsName))
	if err != nil {
		return "", err
	}
	defer files.Close()
	return files.open[0].Metadata()[baseHashKey], nil
}

// readAdapterConfig refuses what bitnet would compute differently.
func readAdapterConfig(dir string) (adapterConfig, error) {
	var c adapterConfig
	path := filepath.Join(dir, AdapterConfigName)
	err := readJSON(path, &c)
	if errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("%s is not an adapter: it has no %s", dir, AdapterConfigName)
	}
	if err != nil {
		return c, err
	}
	if err := c.check(); err != nil {
		return c, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

func (c *adapterConfig) check() error {
	switch {
	case c.PeftType != "LORA":
		return fmt.Errorf("peft_type is %.40q, this program reads LORA", c.PeftType)
	case c.Rank < 1 || c.Rank > mostRank:
		return fmt.Errorf("r is %d: it must be between 1 and %d", c.Rank, mostRank)
	case !(c.Alpha > 0 && c.Alpha < 1e6):
		return fmt.Errorf("lora_alpha is %g: it must be positive", c.Alpha)
	case c.Bias != "none" && c.Bias != "" || c.LoRABias:
		return errors.New("it has biases, which this program does not compute")
	case c.FanInFanOut:
		return errors.New("fan_in_fan_out is true: projections of this architecture are not transposed")
	case c.DoRA:
		return errors.New("use_dora is true, which this program does not compute")
	case len(c.ModulesToSave) > 0:
		return fmt.Errorf("modules_to_save names %.80q: this program reads adapters alone", c.ModulesToSave[0])
	case len(c.RankPattern) > 0 || len(c.AlphaPattern) > 0:
		return errors.New("it has a rank_pattern or alpha_pattern: this program reads adapters of one rank")
	}
	return nil
}

// ReadAdapter reads an adapter of a model of the architecture c. Every tensor must be
// there with its shape and finite numbers, and no other.
func ReadAdapter(dir string, c Config) (*Adapter, error) {
	config, err := readAdapterConfig(dir)
	if err != nil {
		return nil, err
	}
	files, err := OpenTensors(filepath.Join(dir, AdapterWeightsName))
	if err != nil {
		return nil, err
	}
	defer files.Close()
	out := &Adapter{Base: config.Base, BaseHash: files.open[0].Metadata()[baseHashKey], A: map[string][]float32{}, B: map[string][]float32{}}
	out.LoRA = LoRA{Rank: config.Rank, Alpha: config.Alpha}
	if config.RSLoRA { // scaled by alpha / sqrt(r)
		out.Alpha *= math.Sqrt(float64(config.Rank))
	}
	some := len(config.Layers) > 0 && string(config.Layers) != "null" // not every layer has one
	known := map[string]bool{}
	for _, t := range LoRATargets {
		if err := out.readTarget(files, c, t, some, known); err != nil {
			return nil, err
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files.of)) {
		if !known[name] {
			return nil, fmt.Errorf("%s: tensor %.100q is not an adapter of this model's projections: is it that of a different model?", files.of[name].path, name)
		}
	}
	if len(out.Targets) == 0 {
		return nil, fmt.Errorf("%s: it has no adapter of any projection", files.path)
	}
	return out, nil
}

// readTarget reads the adapters of one projection in all layers, if there are any.
// Where only some layers have one, those of the others are zero.
func (a *Adapter) readTarget(files *Tensors, c Config, target string, some bool, known map[string]bool) error {
	only := LoRA{Targets: []string{target}}
	var all, there []TensorShape
	for _, s := range c.Tensors() {
		if !s.Ternary || !only.Adapts(s.Name) {
			continue
		}
		all = append(all, s)
		nameA, nameB := AdapterNames(s.Name)
		_, hasA := files.of[nameA]
		_, hasB := files.of[nameB]
		if hasA || hasB {
			there = append(there, s)
		}
	}
	if len(there) == 0 {
		return nil
	}
	if !some {
		there = all
	}
	for _, s := range there { // before memory is taken for them
		nameA, nameB := AdapterNames(s.Name)
		known[nameA], known[nameB] = true, true
		if err := files.CheckFloats(nameA, []int{a.Rank, s.Shape[1]}); err != nil {
			return err
		}
		if err := files.CheckFloats(nameB, []int{s.Shape[0], a.Rank}); err != nil {
			return err
		}
	}
	for _, s := range all {
		a.A[s.Name], a.B[s.Name] = make([]float32, a.Rank*s.Shape[1]), make([]float32, s.Shape[0]*a.Rank)
	}
	for _, s := range there {
		nameA, nameB := AdapterNames(s.Name)
		if err := files.Floats(nameA, a.A[s.Name]); err != nil {
			return err
		}
		if err := files.Floats(nameB, a.B[s.Name]); err != nil {
			return err
		}
	}
	a.Targets = append(a.Targets, target)
	return nil
}

// AddTo adds what an adapter adds to a projection, alpha/r b a, to its weights
// [out, in] row by row. It does nothing for a projection without one.
func (a *Adapter) AddTo(weights []float32, projection string) {
	down, up := a.A[projection], a.B[projection]
	if down == nil {
		return
	}
	cols := len(down) / a.Rank
	each(len(weights)/cols, func(n int) {
		sums := make([]float64, cols)
		for j := range a.Rank {
			f := a.Scale() * float64(up[n*a.Rank+j])
			for k, v := range down[j*cols:][:cols] {
				sums[k] += f * float64(v)
			}
		}
		for k, v := range sums {
			weights[n*cols+k] += float32(v)
		}
	})
}
