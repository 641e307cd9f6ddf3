package graph

import (
	"context"
	"fmt"
	"time"

	"bitnet/gpu"
)

// KernelCost is what one kernel of a step costs, run by itself again and again.
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

// Kernels times each kernel of a step of accum micro-batches on the program's
// buffers, whose contents it spoils. The data of a small kernel then comes from
// caches, as often in a step, too.
func (r *Program) Kernels(ctx context.Context, accum int) ([]KernelCost, error) {
	w := stopwatch{r.dev, 40 * time.Millisecond, 5}
	var out []KernelCost
	known := map[string]int{}
	for i, c := range r.plan.calls {
		times := accum
		if i >= r.plan.micro {
			times = 1
		}
		key := c.op + "\n" + c.src.Code
		if at, ok := known[key]; ok {
			out[at].Calls += times
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		k, err := compileSource(r.dev, c.src)
		if err != nil {
			return nil, err
		}
		d := gpu.Dispatch{Kernel: k, Groups: c.src.Groups, Label: c.src.Label}
		for _, x := range c.args {
			d.Bindings = append(d.Bindings, x.binding())
		}
		seconds, err := w.seconds(d)
		if err != nil {
			return nil, fmt.Errorf("timing %s: %w", c.src.Label, err)
		}
		known[key] = len(out)
		out = append(out, KernelCost{c.op, c.src.Label, c.src.Family, c.src.Variant, times, c.src.Flops, c.bytes(), seconds[len(seconds)/2], seconds[0]})
	}
	return out, nil
}

// bytes is what a call reads and writes: all that is bound, but of a table only
// the rows that ids choose.
func (c call) bytes() int64 {
	var n, chosen int64
	for _, x := range c.args {
		if x.t.DType == U32 {
			chosen = max(chosen, int64(x.t.Rows)*int64(x.t.Cols))
		}
	}
	for i, x := range c.args {
		size := x.binding().Size
		name := c.src.Names[i]
		if chosen > 0 && (name == "table" || name == "dtable") {
			size = min(size, 4*chosen*int64(x.t.Cols))
		}
		n += size
	}
	return n
}
