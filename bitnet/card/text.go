package card

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"bitnet/bitnet/runs"
	"bitnet/bitnet/task"
	"bitnet/bitnet/task/catalog"
	"bitnet/data/hub"
	"bitnet/data/printable"
)

// text is README.md.
func (m *model) text(curves bool) []byte {
	var b strings.Builder
	b.WriteString(m.front())
	fmt.Fprintf(&b, "\n# %s\n\n%s\n\n", escape(m.Title), mark)
	what := "A language model with ternary weights: every weight of its projections is -1, 0 or +1\n" +
		"([BitNet b1.58](https://arxiv.org/abs/2402.17764)). It was"
	if m.Float {
		what = "A float language model, made of one with ternary weights\n" +
			"([BitNet b1.58](https://arxiv.org/abs/2402.17764)) and a LoRA adapter on it. The ternary model was"
	}
	fmt.Fprintf(&b, "%s trained with bitnet, a Go program that\n"+
		"trains such models with WebGPU compute shaders.\n\n%s", what, m.architecture())
	if m.run != nil {
		b.WriteString(m.training(curves))
		b.WriteString(m.evaluation())
	}
	b.WriteString(m.usage())
	return []byte(b.String())
}

// front is the YAML at the top, in the hub's words.
func (m *model) front() string {
	type meta struct {
		License   string   `yaml:"license,omitempty"`
		Library   string   `yaml:"library_name,omitempty"`
		Pipeline  string   `yaml:"pipeline_tag"`
		BaseModel string   `yaml:"base_model,omitempty"`
		Datasets  []string `yaml:"datasets,omitempty"`
		Tags      []string `yaml:"tags"`
	}
	y := meta{License: m.License, Library: "transformers", Pipeline: "text-generation", BaseModel: m.base(), Datasets: m.datasets(),
		Tags: []string{"bitnet", "bitnet-b1.58", "ternary"}}
	if m.Float {
		y.Tags = []string{"bitnet", "lora"}
	}
	if m.Format == "gguf" {
		y.Library = ""
		y.Tags = append(y.Tags, "gguf")
	}
	if m.chat() {
		y.Tags = append(y.Tags, "conversational")
	}
	text, err := yaml.Marshal(y)
	if err != nil { // strings can always be written
		return ""
	}
	return "---\n" + string(text) + "---\n"
}

// chat says whether the model has a chat template.
func (m *model) chat() bool { return m.tok != nil && m.tok.ChatTemplate() != "" }

// base is the model on the hub that the run began with, "" for none: provenance
// has the folder of its snapshot in the hub's cache.
func (m *model) base() string {
	parts := strings.Split(filepath.ToSlash(m.from.Init), "/")
	i := slices.Index(parts, "snapshots")
	if i < 1 {
		return ""
	}
	name, ok := strings.CutPrefix(parts[i-1], "models--")
	if repo, err := hub.ParseRepo(hub.Model, strings.Replace(name, "--", "/", 1)); ok && err == nil {
		return repo.Name
	}
	return ""
}

// start is what the run began with, in words; "" for fresh weights.
func (m *model) start() string {
	if base := m.base(); base != "" || m.from.Init == "" {
		return base
	}
	return local(m.from.Init)
}

// local names a folder of this machine without those above it.
func local(dir string) string {
	dir = path.Clean(filepath.ToSlash(dir))
	if up := path.Dir(dir); path.Base(up) == "checkpoints" {
		return fmt.Sprintf("the run %s (%s)", path.Base(path.Dir(up)), path.Base(dir))
	}
	return "the model " + path.Base(dir)
}

// sources are the names of what the run read: of the hub whole, of local files
// and folders without the folders above them.
func (m *model) sources() []string {
	source := m.info.Config.Settings["data.source"]
	kind, rest, more := strings.Cut(source, ":")
	if !more {
		return []string{source}
	}
	var out []string
	for _, s := range strings.Split(rest, ",") {
		s = strings.TrimSpace(s)
		name, weight, weighted := strings.Cut(s, "*")
		prefix := ""
		if kind, after, ok := strings.Cut(name, ":"); ok && slices.ContainsFunc(catalog.Kinds(), func(k task.Kind) bool { return k.Name == kind }) {
			prefix, name = kind+":", after
		}
		if repo, ok := strings.CutPrefix(name, "hub:"); ok {
			name = "hub:" + repo
		} else if name = filepath.ToSlash(name); name != "" {
			name = path.Base(name)
		}
		if weighted {
			name += "*" + weight
		}
		out = append(out, prefix+name)
	}
	return []string{kind + ": " + strings.Join(out, ", ")}
}

// datasets are the data sets on the hub that the run read.
func (m *model) datasets() []string {
	var out []string
	for _, s := range strings.FieldsFunc(m.info.Config.Settings["data.source"], func(r rune) bool { return r == ',' || r == '*' || r == ' ' }) {
		if _, repo, ok := strings.Cut(s, "hub:"); ok {
			if r, err := hub.ParseRepo(hub.Dataset, repo); err == nil && !slices.Contains(out, r.Name) {
				out = append(out, r.Name)
			}
		}
	}
	return out
}

// rows is a table of names and values; rows without a value are left out.
func rows(head string, pairs ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| %s | |\n|---|---|\n", head)
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			fmt.Fprintf(&b, "| %s | %s |\n", pairs[i], escape(pairs[i+1]))
		}
	}
	b.WriteString("\n")
	return b.String()
}

// escape makes a text that a person or a file chose safe in Markdown: nothing in
// it is markup, and a cell stays a cell.
func escape(s string) string {
	var b strings.Builder
	for _, r := range printable.String(s) {
		if strings.ContainsRune("\\`*_[]<>|~$&", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

func (m *model) architecture() string {
	c := m.config
	n := int64(0)
	ternary := int64(0)
	for _, t := range c.Tensors() {
		size := int64(1)
		for _, d := range t.Shape {
			size *= int64(d)
		}
		n += size
		if t.Ternary {
			ternary += size
		}
	}
	parameters := fmt.Sprintf("%s, of which %s are ternary", short(n), short(ternary))
	if m.Float {
		parameters = short(n)
	}
	return rows("Model",
		"parameters", parameters,
		"layers", fmt.Sprint(c.Layers),
		"width", fmt.Sprintf("%d, feed-forward %d", c.HiddenSize, c.IntermediateSize),
		"attention", fmt.Sprintf("%d heads, %d for keys and values", c.Heads, c.KVHeads),
		"context", fmt.Sprintf("%d tokens", c.MaxPositions),
		"vocabulary", fmt.Sprintf("%d tokens", c.VocabSize),
		"activation", c.HiddenAct,
		"chat template", map[bool]string{true: "yes, in tokenizer_config.json"}[m.chat()],
	)
}

func short(n int64) string { return runs.Short.Text(float64(n)) }

// heading is a heading over what the run of the model did.
func (m *model) heading(s string) string {
	if m.Float {
		s += " of the ternary model, without the adapter"
	}
	return "## " + s + "\n\n"
}

func (m *model) training(curves bool) string {
	set := func(key string) string { return m.info.Config.Settings["train."+key] }
	t := m.info.Config.Train
	out := m.heading("Training") + rows("Recipe",
		"experiment", m.info.Config.Name,
		"data", strings.Join(m.sources(), ", "),
		"started from", m.start(),
		"teacher", m.teacher(),
		"steps", fmt.Sprintf("%s of %s", runs.Whole.Text(float64(m.step)), runs.Whole.Text(float64(t.Steps))),
		"batch", fmt.Sprintf("%d rows of %d tokens", t.BatchSize*max(t.GradAccum, 1), t.SeqLen),
		"tokens", m.tokens(),
		"optimizer", set("optimizer"),
		"learning rate", set("learning_rate"),
		"warm-up steps", set("warmup_steps"),
		"schedule", set("schedule"),
		"weight decay", set("weight_decay"),
		"seed", set("seed"),
		"device", m.from.Device,
		"program", m.program(),
	)
	if curves {
		out += "![the run's curves](" + CurvesName + ")\n\n"
	}
	return out
}

// teacher is the model whose logits the run learned from; "" for none.
func (m *model) teacher() string {
	name := m.info.Config.Settings["train.teacher"]
	if filepath.IsAbs(name) {
		return local(name)
	}
	return name
}

// tokens is how many tokens the checkpoint was trained on, as it says itself.
func (m *model) tokens() string {
	s, err := runs.ReadState(m.dir)
	if err != nil {
		return ""
	}
	return short(s.TokensSeen)
}

// program is the commit of bitnet, as far as it is known.
func (m *model) program() string {
	if m.from.Revision == "" {
		return ""
	}
	s := fmt.Sprintf("bitnet %.12s", m.from.Revision)
	if m.from.Modified == "true" {
		s += " with changes"
	}
	return s
}

// evaluation is what the last evaluation of the checkpoint found.
func (m *model) evaluation() string {
	if m.eval == nil {
		return m.heading("Evaluation") + "The run was not evaluated up to this checkpoint.\n\n"
	}
	var pairs []string
	for _, s := range m.eval.All() {
		if s.Part != "" {
			continue
		}
		value := s.String()
		var parts []string
		for _, p := range m.eval.Parts(s.Name) {
			parts = append(parts, p.Part+" "+p.Format().Text(p.Value))
		}
		if len(parts) > 0 {
			value += " (" + strings.Join(parts, ", ") + ")"
		}
		pairs = append(pairs, s.Name, value)
	}
	return m.heading("Evaluation") + fmt.Sprintf("On data that was held out, at step %s:\n\n", runs.Whole.Text(float64(m.eval.Step))) + rows("Score", pairs...)
}
