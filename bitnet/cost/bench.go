package cost

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"

	"bitnet/bitnet/bench"
)

// ReadBench reads the --json output of bitnet bench step.
func ReadBench(path string) (*bench.Step, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading the benchmark: %w", err)
	}
	var file struct {
		Bench  string
		Result *bench.Step
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("%s is not the output of bitnet bench step --json: %w", path, err)
	}
	if file.Bench != "step" || file.Result == nil || !(file.Result.GFlops > 0) {
		return nil, fmt.Errorf("%s does not hold a measured step (%s): make it with bitnet bench step --json > FILE", path, cmp.Or(file.Bench, "nothing"))
	}
	return file.Result, nil
}

// Measured estimates a run from a measured step, of this or of another model:
// the same arithmetic per second.
func (r Run) Measured(b *bench.Step) Estimate {
	return r.at(b.Device, b.GFlops*1e9/r.TokenFlops)
}
