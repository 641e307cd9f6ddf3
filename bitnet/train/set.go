package train

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"bitnet/bitnet/suggest"
)

// Get is the text of one value, by the same keys as Set.
func (c *Config) Get(key string) (string, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(c.YAML(), &doc); err != nil {
		return "", err
	}
	found := map[string]*yaml.Node{}
	leaves(doc.Content[0], "", found)
	node, err := pick(found, key)
	if err != nil {
		return "", err
	}
	return node.Value, nil
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
	if err != nil { // its line is one of the text that was made here
		return &ConfigError{errors.New(lineNumber.ReplaceAllString(err.Error(), ""))}
	}
	if v.Content[0].ShortTag() == "!!float" && !next.holds(key, v.Content[0]) {
		return fmt.Errorf("--set %s: want a whole number", assignment)
	}
	if key == "steps" || key == "train.steps" {
		next.Train.Epochs = 0 // steps count then
	}
	next.shortWarmup = c.shortWarmup
	*c = *next
	return nil
}

// holds reports whether the value of key is that number: the decoder converts
// other numbers where a key needs a whole one.
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
		names := slices.Clone(all)
		for _, p := range all {
			names = append(names, p[strings.LastIndexByte(p, '.')+1:])
		}
		return nil, fmt.Errorf("there is no key %q%s: keys are %s", key, suggest.DidYouMean(key, names), strings.Join(all, ", "))
	}
	slices.Sort(match)
	return nil, fmt.Errorf("%q is ambiguous: choose one of %s", key, strings.Join(match, ", "))
}

var lineNumber = regexp.MustCompile(`line \d+: `)
