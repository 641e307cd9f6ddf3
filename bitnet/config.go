// Package bitnet trains and evaluates BitNet b1.58 language models: the
// architecture, the schedules, checkpoints and the training loop.
package bitnet

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"bitnet/graph"
)

// Config is everything that decides a run; it is stored as config.yaml and is
// enough to repeat it.
type Config struct {
	Name   string       `yaml:"name"`
	Model  ModelConfig  `yaml:"model"`
	Data   DataConfig   `yaml:"data"`
	Train  TrainConfig  `yaml:"train"`
	Output OutputConfig `yaml:"output"`
}

// ModelConfig is the architecture, with the names of transformers' config.json.
type ModelConfig struct {
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

// DataConfig says what is trained on.
type DataConfig struct {
	// Source is "arithmetic" or "tictactoe"; "text:NAME[,NAME...]" for data sets that bitnet
	// data prepare knows, files and folders; "shards:FOLDER" for what that
	// command made; or "tokens:FILE" for raw little-endian ids (uint32 if the
	// name ends in .u32, else uint16).
	Source string `yaml:"source"`
	// Tokenizer of text: a file, a folder or ORG/NAME on the hub; empty to
	// train one of model.vocab_size tokens.
	Tokenizer string `yaml:"tokenizer"`
	// Dir holds the tokenizer and the token shards of text; empty for a folder
	// in the user's cache.
	Dir string `yaml:"dir"`
	// HeldOut is the share of documents never trained on.
	HeldOut float64 `yaml:"held_out"`
	// Pack fills a row with several samples instead of padding.
	Pack bool `yaml:"pack"`
	// LossOnAll trains on the question as well as on the answer.
	LossOnAll bool `yaml:"loss_on_all"`
	// Shuffle draws the windows of a token file in a seeded random order.
	Shuffle bool `yaml:"shuffle"`
}

// TrainConfig is the optimisation.
type TrainConfig struct {
	Steps            int     `yaml:"steps"`
	BatchSize        int     `yaml:"batch_size"` // sequences of a micro-batch
	SeqLen           int     `yaml:"seq_len"`
	GradAccum        int     `yaml:"grad_accum"` // micro-batches of a step
	LearningRate     float64 `yaml:"learning_rate"`
	WarmupSteps      int     `yaml:"warmup_steps"`
	WeightDecay      float64 `yaml:"weight_decay"`      // in the first half of the steps
	WeightDecayLater float64 `yaml:"weight_decay_late"` // in the second half
	Beta1            float64 `yaml:"beta1"`
	Beta2            float64 `yaml:"beta2"`
	Eps              float64 `yaml:"eps"`
	MaxGradNorm      float64 `yaml:"max_grad_norm"`
	Seed             uint64  `yaml:"seed"`
	OnAnomaly        string  `yaml:"on_anomaly"` // warn, stop or rollback
	Precision        string  `yaml:"precision"`  // of gradients and head: auto, f32, mixed or int8
	Tuning           string  `yaml:"tuning"`     // of kernels: auto, stored, off or a file of bitnet tune
}

// OutputConfig says what is written and how often, in steps; 0 means only at
// the end.
type OutputConfig struct {
	LogInterval        int      `yaml:"log_interval"`
	EvalInterval       int      `yaml:"eval_interval"`
	SampleInterval     int      `yaml:"sample_interval"`
	CheckpointInterval int      `yaml:"checkpoint_interval"`
	CheckpointMinutes  float64  `yaml:"checkpoint_minutes"` // the longest time without a checkpoint; 0 for any
	KeepCheckpoints    int      `yaml:"keep_checkpoints"`   // besides those at the stage boundary
	EvalSamples        int      `yaml:"eval_samples"`
	Prompts            []string `yaml:"prompts"`
	TensorBoard        bool     `yaml:"tensorboard"` // write event files into the run's folder tensorboard
}

//go:embed presets/*.yaml
var presets embed.FS

// Presets lists the names of the embedded experiments.
func Presets() []string {
	entries, _ := presets.ReadDir("presets")
	var names []string
	for _, e := range entries {
		names = append(names, strings.TrimSuffix(e.Name(), ".yaml"))
	}
	return names
}

// Preset reads an embedded experiment.
func Preset(name string) (*Config, error) {
	if !slices.Contains(Presets(), name) {
		return nil, fmt.Errorf("there is no experiment %q: choose one of %s", name, strings.Join(Presets(), ", "))
	}
	text, err := presets.ReadFile("presets/" + name + ".yaml")
	if err != nil {
		return nil, err
	}
	return parseConfig("preset "+name, text)
}

// LoadConfig reads a config.yaml.
func LoadConfig(path string) (*Config, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration: %w", err)
	}
	return parseConfig(path, text)
}

func parseConfig(where string, text []byte) (*Config, error) {
	var c Config
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: %s", where, oneLine(err))
	}
	if c.Train.Precision == "" {
		c.Train.Precision = graph.Float32.String()
	}
	if c.Train.Tuning == "" {
		c.Train.Tuning = TuneAuto
	}
	if c.Train.OnAnomaly == "" {
		c.Train.OnAnomaly = Warn
	}
	return &c, nil
}

func oneLine(err error) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(err.Error(), "yaml: unmarshal errors:", "")), " ")
}

// YAML is the text of config.yaml.
func (c *Config) YAML() []byte {
	text, err := yaml.Marshal(c)
	if err != nil {
		panic(err) // plain values only
	}
	return text
}

// Set changes one value by "key=value"; the key is a path such as
// train.learning_rate, or its last part where only one path has it.
func (c *Config) Set(assignment string) error {
	key, value, ok := strings.Cut(assignment, "=")
	if !ok {
		return fmt.Errorf("--set %s: want key=value, for example train.learning_rate=1e-3", assignment)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(c.YAML(), &doc); err != nil {
		return err
	}
	found := map[string]*yaml.Node{}
	leaves(doc.Content[0], "", found)
	node, err := pick(found, key)
	if err != nil {
		return fmt.Errorf("--set %s: %w", assignment, err)
	}
	var v yaml.Node
	if err := yaml.Unmarshal([]byte(value), &v); err != nil || len(v.Content) != 1 {
		v = yaml.Node{Content: []*yaml.Node{{Kind: yaml.ScalarNode, Value: value}}}
	}
	*node = *v.Content[0]
	text, err := yaml.Marshal(&doc)
	if err != nil {
		return err
	}
	next, err := parseConfig("--set "+assignment, text)
	if err != nil {
		return err
	}
	if v.Content[0].ShortTag() == "!!float" && !next.holds(key, v.Content[0]) {
		return fmt.Errorf("--set %s: cannot unmarshal %s into a whole number", assignment, value)
	}
	*c = *next
	return nil
}

// holds says whether the value of key is that number: the decoder makes whole
// numbers of others where a key wants one.
func (c *Config) holds(key string, number *yaml.Node) bool {
	var doc yaml.Node
	if err := yaml.Unmarshal(c.YAML(), &doc); err != nil {
		return false
	}
	found := map[string]*yaml.Node{}
	leaves(doc.Content[0], "", found)
	node, err := pick(found, key)
	var got, want float64
	return err == nil && node.Decode(&got) == nil && number.Decode(&want) == nil && (got == want || math.IsNaN(want))
}

func leaves(n *yaml.Node, path string, out map[string]*yaml.Node) {
	for i := 0; i+1 < len(n.Content) && n.Kind == yaml.MappingNode; i += 2 {
		p := strings.TrimPrefix(path+"."+n.Content[i].Value, ".")
		if child := n.Content[i+1]; child.Kind == yaml.MappingNode {
			leaves(child, p, out)
		} else {
			out[p] = child
		}
	}
}

func pick(found map[string]*yaml.Node, key string) (*yaml.Node, error) {
	if n := found[key]; n != nil {
		return n, nil
	}
	var match, all []string
	for p := range found {
		all = append(all, p)
		if strings.HasSuffix(p, "."+key) {
			match = append(match, p)
		}
	}
	slices.Sort(all)
	switch len(match) {
	case 1:
		return found[match[0]], nil
	case 0:
		return nil, fmt.Errorf("there is no key %q: keys are %s", key, strings.Join(all, ", "))
	}
	slices.Sort(match)
	return nil, fmt.Errorf("%q is ambiguous: say one of %s", key, strings.Join(match, ", "))
}

// Check says in one line what is wrong with a configuration.
func (c *Config) Check() error {
	m, t, o := c.Model, c.Train, c.Output
	positive := []struct {
		key   string
		value int
	}{
		{"model.vocab_size", m.VocabSize}, {"model.hidden_size", m.HiddenSize}, {"model.intermediate_size", m.IntermediateSize},
		{"model.num_hidden_layers", m.Layers}, {"model.num_attention_heads", m.Heads}, {"model.num_key_value_heads", m.KVHeads},
		{"model.max_position_embeddings", m.MaxPositions}, {"train.steps", t.Steps}, {"train.batch_size", t.BatchSize},
		{"train.seq_len", t.SeqLen}, {"train.grad_accum", t.GradAccum},
	}
	for _, p := range positive {
		if p.value < 1 {
			return fmt.Errorf("%s is %d: it must be at least 1", p.key, p.value)
		}
	}
	if err := m.check(); err != nil {
		return err
	}
	intervals := []struct {
		key   string
		value int
	}{
		{"train.warmup_steps", t.WarmupSteps}, {"output.log_interval", o.LogInterval}, {"output.eval_interval", o.EvalInterval},
		{"output.sample_interval", o.SampleInterval}, {"output.checkpoint_interval", o.CheckpointInterval},
		{"output.keep_checkpoints", o.KeepCheckpoints}, {"output.eval_samples", o.EvalSamples},
	}
	for _, p := range intervals {
		if p.value < 0 {
			return fmt.Errorf("%s is %d: it must not be negative", p.key, p.value)
		}
	}
	switch {
	case !(o.CheckpointMinutes >= 0):
		return fmt.Errorf("output.checkpoint_minutes %g must not be negative", o.CheckpointMinutes)
	case t.SeqLen > m.MaxPositions:
		return fmt.Errorf("train.seq_len %d is longer than model.max_position_embeddings %d", t.SeqLen, m.MaxPositions)
	case !(c.Data.HeldOut >= 0 && c.Data.HeldOut <= 0.5):
		return fmt.Errorf("data.held_out %g must lie between 0 and 0.5", c.Data.HeldOut)
	case !(t.LearningRate > 0 && t.LearningRate < 10):
		return fmt.Errorf("train.learning_rate %g must lie between 0 and 10", t.LearningRate)
	case !(t.WeightDecay >= 0) || !(t.WeightDecayLater >= 0):
		return fmt.Errorf("train.weight_decay %g and weight_decay_late %g must not be negative", t.WeightDecay, t.WeightDecayLater)
	case !(t.Beta1 >= 0 && t.Beta1 < 1 && t.Beta2 >= 0 && t.Beta2 < 1):
		return fmt.Errorf("train.beta1 %g and beta2 %g must lie in [0, 1)", t.Beta1, t.Beta2)
	case !(t.Eps > 0):
		return fmt.Errorf("train.eps %g must be positive", t.Eps)
	case !(t.MaxGradNorm > 0):
		return fmt.Errorf("train.max_grad_norm %g must be positive", t.MaxGradNorm)
	case t.OnAnomaly != Warn && t.OnAnomaly != Stop && t.OnAnomaly != RollBack:
		return fmt.Errorf("train.on_anomaly is %q: it must be %s, %s or %s", t.OnAnomaly, Warn, Stop, RollBack)
	}
	if _, err := graph.ParsePrecision(t.Precision); err != nil && t.Precision != graph.AutoPrecision {
		return fmt.Errorf("train.precision: %w", err)
	}
	return nil
}

func (m ModelConfig) check() error {
	switch {
	case m.HiddenSize%m.Heads != 0:
		return fmt.Errorf("model.hidden_size %d is not a multiple of num_attention_heads %d", m.HiddenSize, m.Heads)
	case m.HiddenSize/m.Heads%4 != 0:
		return fmt.Errorf("a head has hidden_size/num_attention_heads = %d features: it must be a multiple of 4", m.HiddenSize/m.Heads)
	case m.Heads%m.KVHeads != 0:
		return fmt.Errorf("model.num_attention_heads %d is not a multiple of num_key_value_heads %d", m.Heads, m.KVHeads)
	case m.HiddenAct != "silu" && m.HiddenAct != "relu2":
		return fmt.Errorf("model.hidden_act is %q: it must be silu or relu2", m.HiddenAct)
	case !(m.NormEps > 0) || !(m.RopeTheta > 0):
		return fmt.Errorf("model.rms_norm_eps %g and rope_theta %g must be positive", m.NormEps, m.RopeTheta)
	}
	// Bounds that keep every product of sizes inside an int and the sums of
	// int8 products exact in float32 (below 2^24).
	for _, v := range []struct {
		key        string
		value, max int
	}{
		{"vocab_size", m.VocabSize, 1 << 20}, {"hidden_size", m.HiddenSize, 1 << 16}, {"intermediate_size", m.IntermediateSize, 1 << 17},
		{"num_hidden_layers", m.Layers, 1 << 10}, {"max_position_embeddings", m.MaxPositions, 1 << 24},
	} {
		if v.value < 1 || v.value > v.max {
			return fmt.Errorf("model.%s is %d: it must be between 1 and %d", v.key, v.value, v.max)
		}
	}
	return nil
}
