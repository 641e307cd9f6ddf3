package report

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"bitnet/gpu"
	"bitnet/graph/tune"
)

// worker measures one part, in a process of its own.
type worker struct {
	request
	ctx context.Context // ends when the part's time is up
	end time.Time
	out *json.Encoder
}

// Serve measures the one part that in asks for, and writes what it finds to out
// as lines for Make, which started this process.
func Serve(ctx context.Context, in io.Reader, out io.Writer) error {
	w := &worker{out: json.NewEncoder(out)}
	if err := json.NewDecoder(in).Decode(&w.request); err != nil {
		return errors.New("this command is a part of bitnet bench report, which starts it")
	}
	w.end = time.Now().Add(time.Duration(w.Seconds * float64(time.Second)))
	ctx, cancel := context.WithDeadline(ctx, w.end)
	defer cancel()
	w.ctx = ctx
	err := w.guarded()
	last := message{Done: true}
	switch {
	case err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
		last.Cut = true
	case err != nil:
		last.Error = err.Error()
	}
	return w.out.Encode(last)
}

// guarded measures, and turns a panic into an error.
func (w *worker) guarded() (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return w.measure()
}

func (w *worker) measure() error {
	if w.Kind == kindTorch {
		return w.torch()
	}
	a, err := w.adapter()
	if err != nil {
		return err
	}
	switch w.Kind {
	case kindAdapter:
		return w.show(Result{Adapter: &a})
	case kindChecks:
		return w.checks(a)
	}
	open := tune.OpenDevice // checks the units first
	if w.Checked {
		open = func(a gpu.Adapter, _ func(string)) (*gpu.Device, error) { return a.Without(w.Without...).Open() }
	}
	dev, err := open(a, w.says)
	if err != nil {
		return err
	}
	defer dev.Close()
	switch w.Kind {
	case kindParity:
		return w.parity(dev)
	case kindPeak:
		return w.peak(dev)
	case kindTune:
		return w.tune(dev)
	case kindStep:
		return w.steps(dev)
	case kindKernels:
		return w.kernels(dev)
	case kindGenerate:
		return w.generate(dev)
	}
	return fmt.Errorf("there is no part %q", w.Kind)
}

// adapter finds the adapter by its name.
func (w *worker) adapter() (gpu.Adapter, error) {
	all, err := gpu.AdaptersOf(w.Backend)
	if err != nil {
		return gpu.Adapter{}, err
	}
	for _, a := range all {
		if a.Name == w.Device {
			return a, nil
		}
	}
	return gpu.Adapter{}, fmt.Errorf("%s does not list %s any more: it may have been lost", w.Backend, w.Device)
}

// show hands over what was found so far.
func (w *worker) show(r Result) error {
	return w.out.Encode(message{Result: &r})
}

// says hands over what a reader has to know of the part.
func (w *worker) says(text string) { w.out.Encode(message{Says: text}) }

// left is the time that the part still has, in seconds.
func (w *worker) left() float64 { return time.Until(w.end).Seconds() }
