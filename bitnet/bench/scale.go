package bench

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"bitnet/bitnet/train"
	"bitnet/gpu"
)

// Axes are what MeasureScale can change of an experiment, by name.
const (
	AxisContext = "context" // tokens of a sequence, one sequence in a step
	AxisBatch   = "batch"   // sequences of a step
	AxisLayers  = "layers"
	AxisWidth   = "width" // hidden size; the other sizes of a layer grow with it
)

// ScaleAxis is one thing to change, and the values to give it, from small to large.
type ScaleAxis struct {
	Name   string
	Values []int
}

// ScaleOptions are what MeasureScale measures.
type ScaleOptions struct {
	Axes   []ScaleAxis
	Repeat int           // steps of each point
	Budget time.Duration // of all points together; each axis gets an equal part of what is left
}

// Scale is how the cost of a training step grows.
type Scale struct {
	Machine
	Experiment string  `json:"experiment"`
	BatchSize  int     `json:"batch_size"` // where the axis does not change it
	SeqLen     int     `json:"seq_len"`
	Layers     int     `json:"layers"`
	Width      int     `json:"width"`
	Curves     []Curve `json:"curves"`
}

// Curve is the growth over one axis.
type Curve struct {
	Axis   string       `json:"axis"`
	Points []ScalePoint `json:"points"`
	// Exponents are those of value^exponent that fit the points best; 0 where fewer
	// than two points are known.
	Exponents Exponents `json:"exponents"`
	// Findings say, a sentence each, where something grows faster than it should.
	Findings []string `json:"findings"`
}

// Exponents of a curve. A step whose time grows slower than its arithmetic uses the
// adapter better the larger it is.
type Exponents struct {
	Time        float64 `json:"time"`
	Arithmetic  float64 `json:"arithmetic"` // over the points whose time is known
	Activations float64 `json:"activations"`
	Memory      float64 `json:"memory"`
}

// ScalePoint is a step at one value of an axis. Memory and arithmetic come from the
// plan; the rest is measured, from the fastest of the steps, because other programs
// only ever add time.
type ScalePoint struct {
	Value        int     `json:"value"`
	Tokens       int     `json:"tokens"` // of a step
	Flops        float64 `json:"flops"`  // of a step
	Activations  int64   `json:"activation_bytes"`
	Memory       int64   `json:"memory_bytes"` // all that the step holds on the device
	StepMS       float64 `json:"step_ms,omitempty"`
	TokensPerSec float64 `json:"tokens_per_sec,omitempty"`
	GFlops       float64 `json:"gflops,omitempty"`
	// Attention is its share of the time of all kernels; nil where the adapter has no
	// timestamps.
	Attention *float64 `json:"attention_share,omitempty"`
	// LeftOut says why the step was not measured.
	LeftOut string `json:"left_out,omitempty"`
}

// measured reports whether the point's time is known.
func (p ScalePoint) measured() bool { return p.StepMS > 0 }

func (*Scale) Kind() string { return "scale" }

// Figures are the speed and the memory of each point.
func (b *Scale) Figures() []Figure {
	var out []Figure
	for _, c := range b.Curves {
		for _, p := range c.Points {
			name := fmt.Sprintf("%s %d", c.Axis, p.Value)
			if p.measured() {
				out = append(out, Figure{name, "tokens/s", p.TokensPerSec, false})
			}
			out = append(out, Figure{name + ", memory", "MiB", float64(p.Memory) / (1 << 20), true})
		}
	}
	return out
}

// MeasureScale trains a few steps at each value of each axis, the others at the
// configuration's. Points that would not end within the budget are left out, but
// their arithmetic and memory are still counted. If ctx ends meanwhile, it returns
// the points before, too.
func MeasureScale(ctx context.Context, c *train.Config, dev *gpu.Device, o ScaleOptions, note func(string)) (*Scale, error) {
	s := scaler{adapter: dev.Adapter(), note: note, now: time.Now, step: func(ctx context.Context, own *train.Config) (*Step, error) {
		return MeasureStep(ctx, own, dev, o.Repeat, 0, note)
	}}
	b := &Scale{Machine: machineOf(dev), Experiment: c.Name, BatchSize: c.Train.BatchSize, SeqLen: c.Train.SeqLen, Layers: c.Model.Layers, Width: c.Model.HiddenSize}
	var err error
	b.Curves, err = s.curves(ctx, c, o)
	return b, err
}

// scaler measures the points of the axes.
type scaler struct {
	adapter gpu.Adapter
	note    func(string)
	now     func() time.Time
	step    func(context.Context, *train.Config) (*Step, error)
}

func (s scaler) curves(ctx context.Context, c *train.Config, o ScaleOptions) ([]Curve, error) {
	end := s.now().Add(o.Budget)
	var out []Curve
	for i, axis := range o.Axes {
		left := end.Sub(s.now())
		deadline := s.now().Add(left / time.Duration(len(o.Axes)-i))
		points, err := s.points(ctx, c, axis, deadline, o.Repeat)
		if len(points) > 0 {
			out = append(out, newCurve(axis.Name, points))
		}
		if err != nil {
			return out, err
		}
	}
	return out, nil
}

func (s scaler) points(ctx context.Context, c *train.Config, axis ScaleAxis, deadline time.Time, repeat int) ([]ScalePoint, error) {
	var out []ScalePoint
	var first, last float64 // seconds of the measurement before, and of one of its steps
	for _, value := range axis.Values {
		if err := ctx.Err(); err != nil {
			return out, err
		}
		own, err := at(c, axis.Name, value)
		if err != nil {
			return out, err
		}
		p, err := planned(own, s.adapter)
		if err != nil {
			return out, fmt.Errorf("planning a step at %s %d: %w", axis.Name, value, err)
		}
		p.Value = value
		// A point takes about as long to compile as the one before it.
		expected := first
		if n := len(out); last > 0 {
			expected += float64(repeat+2) * last * max(p.Flops/out[n-1].Flops-1, 0)
		}
		left := deadline.Sub(s.now()).Seconds()
		n := len(out)
		switch {
		case n > 0 && out[n-1].LeftOut != "":
			p.LeftOut = "the point before it was left out"
		case left <= 0:
			p.LeftOut = "the budget is spent"
		case expected > left:
			p.LeftOut = fmt.Sprintf("it would take about %.0f s, and this axis has %.0f s of the budget left", expected, left)
		default:
			began := s.now()
			if err := s.measure(ctx, own, &p, deadline); err != nil {
				return append(out, p), err
			}
			first, last = s.now().Sub(began).Seconds(), p.StepMS/1e3
		}
		out = append(out, p)
	}
	return out, nil
}

// measure fills in the time of a point, or why there is none.
func (s scaler) measure(ctx context.Context, own *train.Config, p *ScalePoint, deadline time.Time) error {
	limited, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	b, err := s.step(limited, own)
	switch {
	case ctx.Err() != nil && b == nil:
		return ctx.Err()
	case errors.Is(err, gpu.ErrOutOfMemory):
		p.LeftOut = "the adapter has not enough memory for it"
		return nil
	case b == nil && errors.Is(err, context.DeadlineExceeded):
		p.LeftOut = "the budget ended before its first step"
		return nil
	case b == nil:
		return fmt.Errorf("measuring a step of %d tokens: %w", p.Tokens, err)
	}
	p.StepMS = b.FastestMS
	p.TokensPerSec = 1e3 * float64(p.Tokens) / b.FastestMS
	p.GFlops = p.Flops / b.FastestMS / 1e6
	var attention, all float64
	for _, k := range b.Profile {
		all += k.Time.Seconds()
		if k.Op == "attention" {
			attention += k.Time.Seconds()
		}
	}
	if all > 0 {
		share := attention / all
		p.Attention = &share
	}
	return ctx.Err()
}

// planned counts what a step needs, without a device.
func planned(c *train.Config, a gpu.Adapter) (ScalePoint, error) {
	_, plan, err := train.Plan(c, a)
	if err != nil {
		return ScalePoint{}, err
	}
	p := ScalePoint{Tokens: int(c.TokensPerStep())}
	p.Flops = plan.FlopsPerToken()*float64(p.Tokens) + plan.UpdateFlops()
	for _, m := range plan.Memory() {
		p.Memory += m.Bytes
		if m.Arena == "activations" {
			p.Activations = m.Bytes
		}
	}
	return p, nil
}

// at is a configuration with another value on an axis. A step is one micro-batch.
func at(c *train.Config, axis string, value int) (*train.Config, error) {
	own := *c
	own.Train.GradAccum = 1
	m := &own.Model
	switch axis {
	case AxisContext:
		own.Train.SeqLen, own.Train.BatchSize = value, 1
	case AxisBatch:
		own.Train.BatchSize = value
	case AxisLayers:
		m.Layers = value
	case AxisWidth:
		head, group := c.Model.HeadDim(), c.Model.Heads/c.Model.KVHeads
		if value <= 0 || value%(head*group) != 0 {
			return nil, fmt.Errorf("width %d: it must be a multiple of %d, so that heads keep their size", value, head*group)
		}
		m.HiddenSize, m.Heads, m.KVHeads = value, value/head, value/head/group
		m.IntermediateSize = max(4, c.Model.IntermediateSize*value/c.Model.HiddenSize/4*4)
	default:
		return nil, fmt.Errorf("there is no axis %q: use %s, %s, %s or %s", axis, AxisContext, AxisBatch, AxisLayers, AxisWidth)
	}
	m.MaxPositions = max(m.MaxPositions, own.Train.SeqLen)
	return &own, own.Check()
}

// LeftOut names the points that were not measured, and why.
func (b *Scale) LeftOut() string {
	var out []string
	for _, c := range b.Curves {
		for _, p := range c.Points {
			if p.LeftOut != "" {
				out = append(out, fmt.Sprintf("%s %d (%s)", c.Axis, p.Value, p.LeftOut))
			}
		}
	}
	if len(out) == 0 {
		return ""
	}
	return "not measured: " + strings.Join(out, "; ")
}
