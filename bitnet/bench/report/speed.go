package report

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"bitnet/bitnet/bench"
	"bitnet/bitnet/train"
	"bitnet/gpu"
	"bitnet/graph"
	"bitnet/graph/tune"
)

func (w *worker) peak(dev *gpu.Device) error {
	p, err := bench.MeasurePeak(w.ctx, dev, 0)
	if p != nil && len(p.Rates) > 0 {
		err = errors.Join(w.show(Result{Peak: p}), err)
	}
	return err
}

// tune chooses variants of the baseline's products, for the parts that follow.
func (w *worker) tune(dev *gpu.Device) error {
	c, err := candidates[0].config(graph.AutoPrecision, "")
	if err != nil {
		return err
	}
	budget := time.Duration(0.8 * w.left() * float64(time.Second))
	found, err := train.Tune(w.ctx, c, dev, w.Tuning, false, tune.Options{Budget: budget, Note: w.says})
	if found != nil {
		err = errors.Join(w.show(Result{Tuning: found.Products}), err)
	}
	return err
}

// candidate is a step that may be measured, the largest that the time allows.
type candidate struct {
	exp               string
	batch, seq, accum int
}

// candidates begin with the step that every card should take.
var candidates = []candidate{
	{"baseline", 16, 256, 2}, {"baseline", 4, 256, 1}, {"baseline", 1, 256, 1}, {"tinystories", 4, 256, 1}, {"arithmetic", 32, 64, 1}, {"simple", 8, 32, 1},
}

func (c candidate) String() string { return shape(c.exp, c.batch, c.seq, c.accum) }

// config is the experiment's configuration with this shape.
func (c candidate) config(precision, tuning string) (*train.Config, error) {
	cfg, err := train.Preset(c.exp)
	if err != nil {
		return nil, err
	}
	t := &cfg.Train
	t.BatchSize, t.SeqLen, t.GradAccum, t.Precision = c.batch, c.seq, c.accum, precision
	if t.Tuning = tuning; tuning == "" {
		t.Tuning = train.TuneOff
	}
	return cfg, cfg.Check()
}

// What a step is assumed to reach of the measured arithmetic, until one was
// measured, and how long kernels take to compile.
const (
	assumedShare = 0.4
	compileCPU   = 60.0 // seconds, for the kernels of a step
	compileGPU   = 4.0
)

// estimate is the seconds of a step on the device.
func (w *worker) estimate(c *train.Config, dev *gpu.Device) (float64, error) {
	_, plan, err := train.Plan(c, dev.Adapter())
	if err != nil {
		return 0, err
	}
	rate := w.GFlops
	if rate == 0 {
		if rate = 5000; dev.Adapter().Kind == gpu.CPU {
			rate = 50
		}
	}
	return plan.FlopsPerToken() * float64(c.TokensPerStep()) / (assumedShare * rate * 1e9), nil
}

// choose is the first candidate of which the warm-up and some steps fit into a
// part of the time.
func (w *worker) choose(dev *gpu.Device) (candidate, *train.Config, float64, error) {
	const steps, share = 2, 0.8
	compile := compileGPU
	if dev.Adapter().Kind == gpu.CPU {
		compile = compileCPU
	}
	for i, x := range candidates {
		c, err := x.config(w.Precision, w.Tuning)
		if err != nil {
			return x, nil, 0, err
		}
		seconds, err := w.estimate(c, dev)
		if err != nil {
			return x, nil, 0, err
		}
		if (1+steps)*seconds+compile <= share*w.left() || i == len(candidates)-1 {
			if i > 0 {
				w.says(fmt.Sprintf("%s instead of %s: the time is short", x, candidates[0]))
			}
			return x, c, seconds, nil
		}
	}
	panic("there is always a last candidate")
}

// steps measures whole steps: the usual one, and with larger batches until these
// bring nothing more, the memory is full, or the time is up.
func (w *worker) steps(dev *gpu.Device) error {
	x, c, seconds, err := w.choose(dev)
	if err != nil {
		return err
	}
	var all []Step
	s, err := w.step(dev, c, seconds)
	if s == nil {
		return err
	}
	all = append(all, *s)
	if err := errors.Join(w.show(Result{Steps: all}), err); err != nil {
		return err
	}
	x.accum = 1
	for batch := 2 * x.batch; x.exp == candidates[0].exp; batch *= 2 {
		last := all[len(all)-1]
		x.batch = batch
		next := float64(batch*x.seq) / last.TokensPerSec
		if last.FirstStepS+3*next > w.left() {
			w.says(fmt.Sprintf("no time for batches of %d", batch))
			return nil
		}
		if c, err = x.config(w.Precision, w.Tuning); err != nil {
			return err
		}
		s, err := w.step(dev, c, next)
		if s == nil { // for want of memory, or for the shape
			w.says(fmt.Sprintf("batches of %d: %v", batch, err))
			return nil
		}
		all = append(all, *s)
		if err := errors.Join(w.show(Result{Steps: all}), err); err != nil {
			return err
		}
		if s.TokensPerSec < 1.02*last.TokensPerSec {
			return nil
		}
	}
	return nil
}

// step measures one shape, about as often as the time allows.
func (w *worker) step(dev *gpu.Device, c *train.Config, seconds float64) (*Step, error) {
	repeat := int(max(1, min(10, 0.3*w.left()/seconds)))
	b, stopped := bench.MeasureStep(w.ctx, c, dev, repeat, 0, w.says)
	if b == nil {
		return nil, stopped
	}
	b.Profile = nil // which kernels takes its place
	_, plan, err := train.Plan(c, dev.Adapter())
	if err != nil {
		return nil, err
	}
	s := &Step{Step: *b, Precision: w.Precision}
	for _, m := range plan.Memory() {
		s.Memory = append(s.Memory, MemoryPart{m.Arena, m.Bytes})
	}
	slices.SortStableFunc(s.Memory, func(a, b MemoryPart) int { return cmp.Compare(b.Bytes, a.Bytes) })
	return s, stopped
}

// kernels times each kernel of the step that was measured before.
func (w *worker) kernels(dev *gpu.Device) error {
	x := candidates[len(candidates)-1]
	if t := w.Target; t != nil {
		x = candidate{t.Experiment, t.BatchSize, t.SeqLen, t.GradAccum}
	}
	c, err := x.config(w.Precision, w.Tuning)
	if err != nil {
		return err
	}
	k, err := bench.MeasureKernels(w.ctx, c, dev, 0, w.says)
	if k != nil && len(k.Kernels) > 0 {
		err = errors.Join(w.show(Result{Kernels: k}), err)
	}
	return err
}

// generate measures a model of the baseline's shapes with random weights.
func (w *worker) generate(dev *gpu.Device) error {
	c, err := train.Preset(candidates[0].exp)
	if err != nil {
		return err
	}
	m, err := bench.NewRandomModel(c.Model, dev)
	if err != nil {
		return err
	}
	defer m.Release()
	o := bench.GenerateOptions{Batches: []int{1, 8, 32}, PromptTokens: 128, Tokens: 64, Repeat: 3}
	if dev.Adapter().Kind == gpu.CPU {
		o = bench.GenerateOptions{Batches: []int{1, 8}, PromptTokens: 32, Tokens: 8, Repeat: 1}
		w.says("prompts of 32 tokens and 8 new ones instead of 128 and 64: the time is short")
	}
	batches := o.Batches
	var all *bench.Generate
	for _, n := range batches { // one by one, so that a kill leaves the first
		o.Batches = []int{n}
		one, err := bench.MeasureGenerate(w.ctx, "baseline, random weights", m, dev, o)
		if err != nil {
			return err
		}
		if all == nil {
			all = one
		} else {
			all.Runs = append(all.Runs, one.Runs...)
		}
		if err := w.show(Result{Generate: all}); err != nil {
			return err
		}
	}
	return nil
}
