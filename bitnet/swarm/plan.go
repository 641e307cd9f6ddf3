package swarm

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"bitnet/data/atomicfile"
)

// Plan is what a swarm trains: the configuration of the worker that founded it,
// and its tokenizer.
type Plan struct {
	Config    []byte            `json:"config"`              // config.yaml
	Tokenizer map[string][]byte `json:"tokenizer,omitempty"` // files by name
}

const (
	maxPlan      = 64 << 20 // bytes of an encoded plan
	maxPlanFiles = 16
	maxConfig    = 1 << 20
)

var planFile = regexp.MustCompile(`^[a-z][a-z0-9_]{0,60}\.(json|jinja|txt|model)$`)

func (p *Plan) encode() ([]byte, error) {
	text, err := json.Marshal(p)
	if err == nil && len(text) > maxPlan {
		err = fmt.Errorf("configuration and tokenizer have %d MiB: a swarm takes at most %d", len(text)>>20, maxPlan>>20)
	}
	return text, err
}

// readPlan reads a plan and checks that its files are harmless.
func readPlan(text []byte) (*Plan, error) {
	var p Plan
	if len(text) > maxPlan {
		return nil, fmt.Errorf("the plan has %d bytes: at most %d are read", len(text), maxPlan)
	}
	if err := json.Unmarshal(text, &p); err != nil {
		return nil, errors.New("the plan is not valid JSON")
	}
	if len(p.Config) == 0 || len(p.Config) > maxConfig || len(p.Tokenizer) > maxPlanFiles {
		return nil, errors.New("the plan has no configuration, or more than belongs there")
	}
	for name := range p.Tokenizer {
		if !planFile.MatchString(name) {
			return nil, fmt.Errorf("the plan has a file %q, which is none of a tokenizer", name)
		}
	}
	return &p, nil
}

// SaveTokenizer writes the tokenizer of a plan into a folder.
func (p *Plan) SaveTokenizer(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("keeping the tokenizer of the swarm: %w", err)
	}
	for name, text := range p.Tokenizer {
		if err := atomicfile.Write(filepath.Join(dir, name), text); err != nil {
			return fmt.Errorf("keeping the tokenizer of the swarm: %w", err)
		}
	}
	return nil
}

// A founding is what the first worker sends: the length of the plan in four bytes,
// the plan, and the weights in float32; all little-endian.
func encodeFounding(plan []byte, weights []float32) []byte {
	out := make([]byte, 4, 4+len(plan)+4*len(weights))
	binary.LittleEndian.PutUint32(out, uint32(len(plan)))
	out = append(out, plan...)
	return appendFloats(out, weights)
}

// readFounding takes a founding of a model of n parameters apart.
func readFounding(b []byte, n int64) (plan []byte, weights []float32, err error) {
	if len(b) < 4 {
		return nil, nil, errors.New("the founding is too short")
	}
	size := int64(binary.LittleEndian.Uint32(b))
	if size > maxPlan || int64(len(b)) != 4+size+4*n {
		return nil, nil, fmt.Errorf("the founding has %d bytes, which do not fit a model of %d parameters", len(b), n)
	}
	plan = b[4 : 4+size]
	if _, err := readPlan(plan); err != nil {
		return nil, nil, err
	}
	weights = make([]float32, n)
	return plan, weights, readFloats(weights, b[4+size:])
}

// Hash is the SHA-256 of the plan in hexadecimal.
func (p *Plan) Hash() string {
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // plain values only
	}
	return hash(text)
}
