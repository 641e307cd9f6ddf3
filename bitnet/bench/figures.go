package bench

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"

	"bitnet/gpu"
)

// Figure is one number of a benchmark that can be compared with that of an
// earlier one.
type Figure struct {
	Name  string  `json:"name"`
	Unit  string  `json:"unit"`
	Value float64 `json:"value"`
	Lower bool    `json:"lower_is_better,omitempty"`
}

// Result is the result of one of the benchmarks.
type Result interface {
	Kind() string
	Figures() []Figure
	// LeftOut says what was not measured because there was no time for it, ""
	// for nothing.
	LeftOut() string
}

// Machine says what was measured on.
type Machine struct {
	Device  string `json:"device"`
	Driver  string `json:"driver"`
	Backend string `json:"backend"`
}

func machineOf(dev *gpu.Device) Machine {
	a := dev.Adapter()
	return Machine{a.Name, a.Driver, a.Backend}
}

// stored is what JSON writes.
type stored struct {
	Bench   string   `json:"bench"`
	Figures []Figure `json:"figures"`
	LeftOut string   `json:"left_out,omitempty"`
	Result  any      `json:"result"`
}

// JSON is what is stored of a benchmark: its figures, and the whole result.
func JSON(b Result) ([]byte, error) {
	text, err := json.Marshal(stored{b.Kind(), b.Figures(), b.LeftOut(), b})
	return append(text, '\n'), err
}

// Earlier is a stored benchmark to compare with.
type Earlier struct {
	file    string
	figures map[string]float64
}

// ReadEarlier reads what JSON made of an earlier benchmark of one kind:
// "peak", "kernels", "step" or "generate".
func ReadEarlier(file, kind string) (*Earlier, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("reading the earlier benchmark: %w", err)
	}
	var s stored
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("%s is not the --json output of a benchmark: %w", file, err)
	}
	if s.Bench != kind {
		return nil, fmt.Errorf("%s holds a result of bench %s, not of bench %s: give it a result of the same command", file, cmp.Or(s.Bench, "(nothing)"), kind)
	}
	e := &Earlier{file, map[string]float64{}}
	for _, f := range s.Figures {
		e.figures[f.Name] = f.Value
	}
	return e, nil
}

// Ratio is a figure of two benchmarks.
type Ratio struct {
	Figure
	Before float64
	Times  float64 // how many times as good it is now
}

// Compare gives the ratios of the figures that both have.
func (e *Earlier) Compare(now Result) ([]Ratio, error) {
	var out []Ratio
	for _, f := range now.Figures() {
		before := e.figures[f.Name]
		if before <= 0 || f.Value <= 0 {
			continue
		}
		r := Ratio{f, before, f.Value / before}
		if f.Lower {
			r.Times = before / f.Value
		}
		out = append(out, r)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("%s has no figure in common with this benchmark: give it a result of the same shapes", e.file)
	}
	return out, nil
}
