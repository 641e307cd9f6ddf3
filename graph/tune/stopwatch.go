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
}

// most is how many dispatches one measurement has at most.
const most = 512

// seconds are the measured times of one dispatch, the shortest first.
func (w stopwatch) seconds(d gpu.Dispatch) ([]float64, error) {
	one, err := w.run([]gpu.Dispatch{d}, 2) // the first run warms up
	if err != nil {
		return nil, err
	}
	n := int(min(max(w.span.Seconds()/one[0], 1), most))
	out, err := w.run(slices.Repeat([]gpu.Dispatch{d}, n), w.repeats)
	for i := range out {
		out[i] /= float64(n)
	}
	return out, err
}

// run times whole programs.
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
		out = append(out, seconds)
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
