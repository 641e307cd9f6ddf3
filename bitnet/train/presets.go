package train

import (
	"embed"
	"fmt"
	"slices"
	"strings"

	"bitnet/bitnet/suggest"
)

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
		return nil, &ConfigError{fmt.Errorf("there is no experiment %q%s: choose one of %s", name, suggest.DidYouMean(name, Presets()), strings.Join(Presets(), ", "))}
	}
	text, err := presets.ReadFile("presets/" + name + ".yaml")
	if err != nil {
		return nil, err
	}
	return ParseConfig("preset "+name, text)
}
