package tune

import (
	"context"
	"fmt"
	"time"

	"bitnet/gpu"
	"bitnet/graph"
)

// KernelCost is what one kernel of a step costs, measured by running only that kernel many times.
type KernelCost struct {
	Op      string  `json:"op"`
	Kernel  string  `json:"kernel"`
	Family  string  `json:"family"` // the file of its source
	Variant string  `json:"variant,omitempty"`
	Calls   int     `json:"calls"` // in a step
	Flops   float64 `json:"flops"` // of a call
	Bytes   int64   `json:"bytes"` // that a call must read or write, each once
	Seconds float64 `json:"seconds"`
	Fastest float64 `json:"fastest_seconds"`
}

// Kernels times each kernel of a step of accum micro-batches on the buffers of a
// program of the device. It overwrites their contents, those of the parameters
// included. A small kernel finds its data in caches here, as it often does in a
// step. With an error, it returns what it measured before.
func Kernels(ctx context.Context, dev *gpu.Device, program *graph.Program, accum int) ([]KernelCost, error) {
	calls, err := program.Calls()
	if err != nil {
		return nil, err
	}
	w := stopwatch{dev, 40 * time.Millisecond, 5}
	var out []KernelCost
	known := map[string]int{}
	for _, c := range calls {
		times := accum
		if c.Update {
			times = 1
		}
		key := c.Op + "\n" + c.Source.Code
		if at, ok := known[key]; ok {
			out[at].Calls += times
			continue
		}
		if err := ctx.Err(); err != nil {
			return out, err
		}
		d, err := w.dispatch(c.Source)
		if err != nil {
			return out, err
		}
		d.Bindings = c.Bindings
		seconds, err := w.seconds(d)
		if err != nil {
			return out, fmt.Errorf("timing %s: %w", c.Source.Label, err)
		}
		known[key] = len(out)
		out = append(out, KernelCost{c.Op, c.Source.Label, c.Source.Family, c.Source.Variant, times, c.Source.Flops, c.Bytes, seconds[len(seconds)/2], seconds[0]})
	}
	return out, nil
}
