package runs

import (
	"gopkg.in/yaml.v3"
)

// Config is the part of config.yaml that a reader needs, and all of it as text.
type Config struct {
	Name  string `yaml:"name"` // of the experiment
	Train struct {
		Steps        int64   `yaml:"steps"`
		BatchSize    int64   `yaml:"batch_size"`
		SeqLen       int64   `yaml:"seq_len"`
		GradAccum    int64   `yaml:"grad_accum"`
		LearningRate float64 `yaml:"learning_rate"`
		// EarlyStopping is the number of evaluations without a lower validation
		// loss after which the run stops; 0 for never.
		EarlyStopping int `yaml:"early_stopping"`
	} `yaml:"train"`
	Output struct {
		LogInterval int64 `yaml:"log_interval"`
	} `yaml:"output"`

	// Settings holds every value of the file by its path, such as
	// train.learning_rate, for comparing runs.
	Settings map[string]string `yaml:"-"`
}

// readConfig reads what it can; a missing or damaged file gives zeros.
func readConfig(path string) Config {
	c := Config{Settings: map[string]string{}}
	text, err := readSmall(path)
	if err != nil {
		return c
	}
	var doc yaml.Node
	if yaml.Unmarshal(text, &doc) != nil || len(doc.Content) == 0 {
		return c
	}
	_ = doc.Decode(&c) // a value of another type stays zero
	flatten(doc.Content[0], "", c.Settings)
	return c
}

func flatten(n *yaml.Node, path string, out map[string]string) {
	if n.Kind != yaml.MappingNode {
		if n.Kind == yaml.ScalarNode {
			out[path] = n.Value
		} else if text, err := yaml.Marshal(n); err == nil {
			out[path] = string(text)
		}
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		p := n.Content[i].Value
		if path != "" {
			p = path + "." + p
		}
		flatten(n.Content[i+1], p, out)
	}
}
