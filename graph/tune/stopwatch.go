package tune

import (
	"slices"
	"time"

	"bitnet/gpu"
	"bitnet/graph"
	"bitnet/shaders"
)

// stopwatch times a dispatch by running it many times: a submission and a wait
// for it cost more than a small kernel, and not every adapter has timestamps.
type stopwatch struct {
	dev     *gpu.Device
	span    time.Duration // at least, of one measurement
	repeats int
	until   time.Time // after it nothing is repeated; zero: no limit
}

// limited gives the stopwatch a budget; 0: no limit.
func (w stopwatch) limited(budget time.Duration) stopwatch {
	if budget > 0 {
		w.until = time.Now().Add(budget)
	}
	return w
}

// part is a stopwatch for the next of n parts, which share the time that is left.
func (w stopwatch) part(n int) stopwatch {
	if !w.until.IsZero() {
		now := time.Now()
		w.until = now.Add(w.until.Sub(now) / time.Duration(n))
	}
	return w
}

// over says whether the time is over.
func (w stopwatch) over() bool { return !w.until.IsZero() && time.Now().After(w.until) }

// most is how many dispatches one measurement has at most.
const most = 512

// seconds are the measured times of one dispatch, the shortest first. However
// little time there is, it is one after a run that warms up.
func (w stopwatch) seconds(d gpu.Dispatch) ([]float64, error) {
	unlimited := w
	unlimited.until = time.Time{}
	one, err := unlimited.run([]gpu.Dispatch{d}, 2) // the first run warms up
	if err != nil {
		return nil, err
	}
	if w.over() {
		return one[:1], nil
	}
	span := w.span
	if !w.until.IsZero() {
		span = min(span, time.Until(w.until)/time.Duration(w.repeats))
	}
	n := int(min(max(span.Seconds()/one[0], 1), most))
	out, err := w.run(slices.Repeat([]gpu.Dispatch{d}, n), w.repeats)
	for i := range out {
		out[i] /= float64(n)
	}
	return out, err
}

// run times a program, at least once.
func (w stopwatch) run(dispatches []gpu.Dispatch, repeats int) ([]float64, error) {
	p, err := w.dev.NewProgram("measurement", dispatches)
	if err != nil {
		return nil, err
	}
	defer p.Release()
	if err := w.dev.Wait(); err != nil {
		return nil, err
	}
	var out []float64
	for range repeats {
		seconds, err := w.time(p)
		if err != nil {
			return nil, err
		}
		if out = append(out, seconds); w.over() {
			break
		}
	}
	slices.Sort(out)
	return out, nil
}

// time runs a program once, on an idle device.
func (w stopwatch) time(p *gpu.Program) (float64, error) {
	began := time.Now()
	if err := p.Run(); err != nil {
		return 0, err
	}
	err := w.dev.Wait()
	return max(time.Since(began), time.Microsecond).Seconds(), err
}

// dispatch compiles a kernel for buffers.
func (w stopwatch) dispatch(src shaders.Source, buffers ...*gpu.Buffer) (gpu.Dispatch, error) {
	k, err := graph.CompileKernel(w.dev, src)
	if err != nil {
		return gpu.Dispatch{}, err
	}
	d := gpu.Dispatch{Kernel: k, Groups: src.Groups, Label: src.Label}
	for _, b := range buffers {
		d.Bindings = append(d.Bindings, gpu.Binding{Buffer: b})
	}
	return d, nil
}
