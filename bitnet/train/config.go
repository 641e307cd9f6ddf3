package train

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"bitnet/bitnet/cluster"
	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/runs"
	"bitnet/bitnet/suggest"
	"bitnet/bitnet/task"
	"bitnet/data/plainfile"
	"bitnet/graph"
)

// Config is everything that decides a run; it is stored as config.yaml and is
// enough to repeat it.
type Config struct {
	Name   string           `yaml:"name"`
	Model  modelfile.Config `yaml:"model"`
	Data   task.Settings    `yaml:"data"`
	Train  Optimisation     `yaml:"train"`
	Output Output           `yaml:"output"`

	shortWarmup bool          // LimitWarmup, once train.epochs is known in steps
	teacher     *foundTeacher // nil before FindTeacher, and without train.teacher
}

// Optimisation holds the hyperparameters of training.
type Optimisation struct {
	Steps            int         `yaml:"steps"`
	Epochs           float64     `yaml:"epochs"`     // of the data, instead of steps; 0: as many steps as Steps says
	BatchSize        int         `yaml:"batch_size"` // sequences per micro-batch
	SeqLen           int         `yaml:"seq_len"`
	GradAccum        int         `yaml:"grad_accum"`   // micro-batches per step
	BatchGrowth      string      `yaml:"batch_growth"` // FACTOR@SHARE,...: so many times grad_accum from a share of the steps on; "": never
	Optimizer        string      `yaml:"optimizer"`    // adamw or muon
	Moments          string      `yaml:"moments"`      // of the optimizer: f32 or 8bit
	LearningRate     float64     `yaml:"learning_rate"`
	WarmupSteps      int         `yaml:"warmup_steps"`
	Schedule         Schedule    `yaml:"schedule"`          // two-stage, trapezoid or cosine
	CooldownSteps    *int        `yaml:"cooldown_steps"`    // of a trapezoid; nil: a fifth of the steps
	FinalLRRatio     *float64    `yaml:"final_lr_ratio"`    // learning rate at the end / peak; nil: the schedule's own
	WeightDecay      float64     `yaml:"weight_decay"`      // in the schedule's first stage
	WeightDecayLater float64     `yaml:"weight_decay_late"` // in its second stage
	Beta1            float64     `yaml:"beta1"`
	Beta2            float64     `yaml:"beta2"`
	Eps              float64     `yaml:"eps"`
	MaxGradNorm      float64     `yaml:"max_grad_norm"`
	Clip             string      `yaml:"clip"` // at max_grad_norm: global, or group: each group of parameters by its own norm
	Seed             uint64      `yaml:"seed"`
	EarlyStopping    int         `yaml:"early_stopping"` // stop after so many evaluations without a lower validation loss; 0: never
	OnAnomaly        runs.Action `yaml:"on_anomaly"`     // warn, stop or rollback
	Precision        string      `yaml:"precision"`      // of gradients and head: auto, f32, mixed or int8
	Tuning           string      `yaml:"tuning"`         // of kernels: auto, stored, off or a file of bitnet tune
	Memory           Memory      `yaml:"memory"`         // of activations: auto, fast or low
	MemoryBudget     string      `yaml:"memory_budget"`  // most that a step may hold on the device, such as 6GiB; "" for what the adapter has
	Exchange         string      `yaml:"exchange"`       // of gradients between ranks: f32 or bf16
	LoRA             string      `yaml:"lora"`           // train adapters of low rank on a frozen model, such as r=16,alpha=32,targets=all; "" trains the model
	QuantizeRamp     int         `yaml:"quantize_ramp"`  // steps over which weights and activations go from float to ternary and int8; 0: none
	Teacher          string      `yaml:"teacher"`        // a model whose logits those of the trained one are drawn to; "" for none
	// TeacherWeight is the share of the divergence from the teacher in what is
	// minimised; the loss of the data has the rest. nil: 0.5.
	TeacherWeight      *float64 `yaml:"teacher_weight"`
	TeacherTemperature *float64 `yaml:"teacher_temperature"` // both logits are divided by it; nil: 1
}

// Output says what is written and how often, in steps; 0 means only at
// the end.
type Output struct {
	LogInterval        int     `yaml:"log_interval"`
	EvalInterval       int     `yaml:"eval_interval"`
	SampleInterval     int     `yaml:"sample_interval"`
	CheckpointInterval int     `yaml:"checkpoint_interval"`
	CheckpointMinutes  float64 `yaml:"checkpoint_minutes"` // save at least every N minutes (0: no time limit)
	KeepCheckpoints    int     `yaml:"keep_checkpoints"`   // in addition to those at the stage boundary
	KeepBest           bool    `yaml:"keep_best"`          // also save and keep the checkpoint of the lowest validation loss
	EvalSamples        int     `yaml:"eval_samples"`
	Prompts            Prompts `yaml:"prompts"`        // what samples continue
	NoiseInterval      int     `yaml:"noise_interval"` // measure the gradient's noise every N steps; 0: never
	TensorBoard        bool    `yaml:"tensorboard"`    // write event files into the run's folder tensorboard
}

// Prompts are texts to continue; nil takes those of the task, an empty list none.
type Prompts []string

// MarshalYAML writes nil as null, so that it does not become an empty list.
func (p Prompts) MarshalYAML() (any, error) {
	if p == nil {
		return nil, nil
	}
	return []string(p), nil
}

// maxConfig is the largest size of a configuration file in bytes.
const maxConfig = 1 << 20

// LoadConfig reads a config.yaml.
func LoadConfig(path string) (*Config, error) {
	text, err := plainfile.Read(path, maxConfig)
	if err != nil {
		return nil, fmt.Errorf("reading the configuration %s: %w", path, err)
	}
	return ParseConfig(path, text)
}

// ParseConfig reads the text of a config.yaml; where says in messages whose it is.
func ParseConfig(where string, text []byte) (*Config, error) {
	var c Config
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&c); err != nil && !errors.Is(err, io.EOF) {
		return nil, &ConfigError{fmt.Errorf("%s: %s", where, inWords(err))}
	}
	if c.Train.Precision == "" {
		c.Train.Precision = graph.Float32.String()
	}
	if c.Train.Optimizer == "" {
		c.Train.Optimizer = AdamW
	}
	if c.Train.Moments == "" {
		c.Train.Moments = Moments32
	}
	if c.Train.Clip == "" {
		c.Train.Clip = ClipGlobal
	}
	if c.Train.Tuning == "" {
		c.Train.Tuning = TuneAuto
	}
	if c.Train.Memory == "" {
		c.Train.Memory = MemoryAuto
	}
	if c.Train.Exchange == "" {
		c.Train.Exchange = cluster.Float32.String()
	}
	if c.Train.Schedule == "" {
		c.Train.Schedule = TwoStage
	}
	if c.Train.OnAnomaly == "" {
		c.Train.OnAnomaly = runs.Warn
	}
	return &c, nil
}

// The messages of the YAML decoder that inWords replaces.
var (
	unknownKey = regexp.MustCompile(`(line \d+): field (\S+) not found in type \S+`)
	wrongType  = regexp.MustCompile("(line \\d+): cannot unmarshal !!\\w+ (`[^`]*` )?into (\\S+)")
)

var wanted = map[string]string{
	"int": "a whole number", "int64": "a whole number", "uint64": "a whole number, 0 or more", "float64": "a number",
	"bool": "true or false", "string": "text",
}

// inWords describes a mistake that the YAML decoder found, in one line.
func inWords(err error) string {
	text := strings.Join(strings.Fields(strings.NewReplacer("yaml: unmarshal errors:", "", "yaml: ", "").Replace(err.Error())), " ")
	text = unknownKey.ReplaceAllStringFunc(text, func(s string) string {
		m := unknownKey.FindStringSubmatch(s)
		return fmt.Sprintf("%s: there is no key %q%s", m[1], m[2], suggest.DidYouMean(m[2], keyNames()))
	})
	return wrongType.ReplaceAllStringFunc(text, func(s string) string {
		m := wrongType.FindStringSubmatch(s)
		want := wanted[m[3]]
		if want == "" {
			want = "a different kind of value"
		}
		if value := strings.Trim(m[2], "` "); value != "" {
			return fmt.Sprintf("%s: %s is not %s", m[1], value, want)
		}
		return fmt.Sprintf("%s: want %s", m[1], want)
	})
}

// keyNames are the names of all keys, without their sections.
func keyNames() []string {
	var doc yaml.Node
	if err := yaml.Unmarshal(new(Config).YAML(), &doc); err != nil {
		return nil
	}
	found := map[string]*yaml.Node{}
	leaves(doc.Content[0], "", found)
	names := []string{"name", "model", "data", "train", "output"}
	for path := range found {
		names = append(names, path[strings.LastIndexByte(path, '.')+1:])
	}
	slices.Sort(names)
	return names
}

// YAML is the text of config.yaml.
func (c *Config) YAML() []byte {
	text, err := yaml.Marshal(c)
	if err != nil {
		panic(err) // plain values only
	}
	return text
}

// ConfigError is a mistake in a configuration.
type ConfigError struct{ error }

// Unwrap gives the mistake itself.
func (e *ConfigError) Unwrap() error { return e.error }

// Check says in one line what is wrong with a configuration, as a ConfigError.
func (c *Config) Check() error {
	if err := c.check(); err != nil {
		return &ConfigError{err}
	}
	return nil
}

// mostTokens bounds the tokens of a step, which the host holds in memory.
const mostTokens = 1 << 26

// tokensPerStep is TokensPerStep before it is known to be an int64.
func (c *Config) tokensPerStep() float64 {
	return float64(c.Train.BatchSize) * float64(c.Train.SeqLen) * float64(c.Train.GradAccum)
}

func (c *Config) check() error {
	m, t, o := c.Model, c.Train, c.Output
	positive := []struct {
		key   string
		value int
	}{
		{"train.steps", t.Steps}, {"train.batch_size", t.BatchSize},
		{"train.seq_len", t.SeqLen}, {"train.grad_accum", t.GradAccum},
	}
	for _, p := range positive {
		if p.value < 1 {
			return fmt.Errorf("%s is %d: it must be at least 1", p.key, p.value)
		}
	}
	if err := m.Check(); err != nil {
		return err
	}
	intervals := []struct {
		key   string
		value int
	}{
		{"train.warmup_steps", t.WarmupSteps}, {"output.log_interval", o.LogInterval}, {"output.eval_interval", o.EvalInterval},
		{"output.sample_interval", o.SampleInterval}, {"output.checkpoint_interval", o.CheckpointInterval},
		{"output.keep_checkpoints", o.KeepCheckpoints}, {"output.eval_samples", o.EvalSamples},
		{"output.noise_interval", o.NoiseInterval},
	}
	for _, p := range intervals {
		if p.value < 0 {
			return fmt.Errorf("%s is %d: it must not be negative", p.key, p.value)
		}
	}
	switch {
	case !(o.CheckpointMinutes >= 0):
		return fmt.Errorf("output.checkpoint_minutes %g must not be negative", o.CheckpointMinutes)
	case int64(t.BatchSize) > mostTokens || c.tokensPerStep() > mostTokens:
		return fmt.Errorf("train.batch_size %d x seq_len %d x grad_accum %d are %.3g tokens per step: at most %d are possible", t.BatchSize, t.SeqLen, t.GradAccum, c.tokensPerStep(), mostTokens)
	case t.SeqLen > m.MaxPositions:
		return fmt.Errorf("train.seq_len %d is longer than model.max_position_embeddings %d: give --seq-len %d", t.SeqLen, m.MaxPositions, m.MaxPositions)
	case !(c.Data.HeldOut >= 0 && c.Data.HeldOut <= 0.5):
		return fmt.Errorf("data.held_out %g must lie between 0 and 0.5", c.Data.HeldOut)
	case !(t.Epochs >= 0 && t.Epochs <= 10000):
		return fmt.Errorf("train.epochs %g must lie between 0 (train.steps counts) and 10000", t.Epochs)
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
	case t.OnAnomaly != runs.Warn && t.OnAnomaly != runs.Stop && t.OnAnomaly != runs.RollBack:
		return fmt.Errorf("train.on_anomaly is %q: it must be %s, %s or %s", t.OnAnomaly, runs.Warn, runs.Stop, runs.RollBack)
	}
	if err := t.checkSchedule(); err != nil {
		return err
	}
	g, err := parseGrowth(t.BatchGrowth, t.Steps)
	if err != nil {
		return err
	}
	if tokens := c.tokensPerStep() * float64(g.most()); tokens > mostTokens {
		return fmt.Errorf("train.batch_growth %s makes steps of %.3g tokens: at most %d are possible", t.BatchGrowth, tokens, mostTokens)
	}
	if err := t.checkOptimizer(); err != nil {
		return err
	}
	if err := t.checkClip(); err != nil {
		return err
	}
	if err := t.checkLoRA(); err != nil {
		return err
	}
	if err := t.checkRamp(); err != nil {
		return err
	}
	if err := t.checkTeacher(); err != nil {
		return err
	}
	if err := t.checkMemory(); err != nil {
		return err
	}
	if _, err := cluster.ParseFormat(t.Exchange); err != nil {
		return fmt.Errorf("train.exchange is %w", err)
	}
	if err := c.checkNoise(); err != nil {
		return err
	}
	if err := c.checkBest(); err != nil {
		return err
	}
	if _, err := graph.ParsePrecision(t.Precision); err != nil && t.Precision != graph.AutoPrecision {
		return fmt.Errorf("train.precision: %w", err)
	}
	return nil
}

// TokensPerStep is how many tokens a step reads, before train.batch_growth makes it larger.
func (c *Config) TokensPerStep() int64 {
	t := c.Train
	return int64(t.BatchSize) * int64(t.SeqLen) * int64(t.GradAccum)
}

// Tokens is how many tokens all steps read.
func (c *Config) Tokens() int64 { return c.TokensBetween(0, int64(c.Train.Steps)) }

// LimitWarmup shortens the warm-up to a tenth of the steps, for a preset that
// is run for fewer steps than it was made for.
func (c *Config) LimitWarmup() {
	if c.Train.Epochs > 0 && !c.shortWarmup {
		c.shortWarmup = true // the steps are not known yet
		return
	}
	c.Train.WarmupSteps = min(c.Train.WarmupSteps, max(c.Train.Steps/10, 1))
}
