package tune

import (
	"cmp"
	"context"
	"fmt"
	"slices"
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
// step. With a budget, 0 for none, it begins with the kernels that have the most
// work, repeats less on a slow adapter, and says how many it left out. With an
// error, it returns what it measured before.
func Kernels(ctx context.Context, dev *gpu.Device, program *graph.Program, accum int, budget time.Duration) (costs []KernelCost, leftOut int, err error) {
	all, err := distinct(program, accum)
	if err != nil {
		return nil, 0, err
	}
	w := stopwatch{dev: dev, span: 40 * time.Millisecond, repeats: 5}.limited(budget)
	order := slices.Clone(all)
	if budget > 0 {
		slices.SortStableFunc(order, func(a, b *distinctKernel) int { return cmp.Compare(b.work(), a.work()) })
	}
	for i, k := range order {
		if err = ctx.Err(); err != nil {
			break
		}
		if i > 0 && w.over() {
			leftOut = len(order) - i
			break
		}
		if err = k.time(w.part(len(order) - i)); err != nil {
			break
		}
	}
	for _, k := range all {
		if k.Seconds > 0 {
			costs = append(costs, k.KernelCost)
		}
	}
	return costs, leftOut, err
}

// distinctKernel is a kernel that one op of a step dispatches, once or several times.
type distinctKernel struct {
	KernelCost
	call graph.Call
}

// distinct are the kernels of a step of accum micro-batches, in the order of the step.
func distinct(program *graph.Program, accum int) ([]*distinctKernel, error) {
	calls, err := program.Calls()
	if err != nil {
		return nil, err
	}
	var all []*distinctKernel
	known := map[string]*distinctKernel{}
	for _, c := range calls {
		key := c.Op + "\n" + c.Source.Code
		k, ok := known[key]
		if !ok {
			k = &distinctKernel{KernelCost{Op: c.Op, Kernel: c.Source.Label, Family: c.Source.Family, Variant: c.Source.Variant, Flops: c.Source.Flops, Bytes: c.Bytes}, c}
			known[key] = k
			all = append(all, k)
		}
		if c.Update {
			k.Calls++
		} else {
			k.Calls += accum
		}
	}
	return all, nil
}

// work orders kernels by about how long they take: most adapters compute about
// ten float32 operations in the time that one byte takes.
func (k *distinctKernel) work() float64 {
	return float64(k.Calls) * max(k.Flops, 10*float64(k.Bytes))
}

func (k *distinctKernel) time(w stopwatch) error {
	d, err := w.dispatch(k.call.Source)
	if err != nil {
		return err
	}
	d.Bindings = k.call.Bindings
	seconds, err := w.seconds(d)
	if err != nil {
		return fmt.Errorf("timing %s: %w", k.Kernel, err)
	}
	k.Seconds, k.Fastest = seconds[len(seconds)/2], seconds[0]
	return nil
}
