package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"bitnet/bitnet/bench"
	"bitnet/bitnet/train"
	"bitnet/gpu"
)

// What can be measured.
const (
	measurePeak     = "peak"
	measureKernels  = "kernels"
	measureStep     = "step"
	measureGenerate = "generate"
)

var measurements = []string{measurePeak, measureKernels, measureStep, measureGenerate}

const (
	measuredSteps   = 20
	measuredTokens  = 64 // of a prompt, and of what is written
	measuredSeconds = 20 // about, for each part
	mostSeconds     = 600
)

func measure(ctx context.Context, c *call) (any, error) {
	var m Measure
	if err := c.decode(&m); err != nil {
		return nil, err
	}
	for _, what := range m.What {
		if !slices.Contains(measurements, what) {
			return nil, fmt.Errorf("%q cannot be measured: choose %s", what, strings.Join(measurements, ", "))
		}
	}
	if len(m.What) == 0 {
		m.What = measurements
	}
	if m.Seconds == 0 {
		m.Seconds = measuredSeconds
	}
	if !(m.Seconds > 0 && m.Seconds <= mostSeconds) {
		return nil, fmt.Errorf("a part cannot take %g seconds: choose 1 to %d", m.Seconds, mostSeconds)
	}
	budget := time.Duration(m.Seconds * float64(time.Second))
	if m.Experiment == "" {
		m.Experiment = "simple"
	}
	config, err := train.Preset(m.Experiment) // as bitnet bench takes it
	if err != nil {
		return nil, err
	}
	out := Measured{Results: map[string]any{}}
	var results []bench.Result
	err = c.onDevice(c.note, func() bool { return len(results) == 0 }, func(dev *gpu.Device) error {
		for _, what := range m.What {
			c.note("measuring: " + what)
			r, err := c.measureOne(ctx, what, config, dev, budget)
			if err != nil {
				if errors.Is(err, gpu.ErrNoTimestamps) {
					c.note(what + " is left out: this adapter has no timestamps")
					continue
				}
				return err
			}
			text, err := bench.JSON(r)
			if err != nil {
				return err
			}
			var result any
			if err := json.Unmarshal(text, &result); err != nil {
				return err
			}
			results, out.Results[what] = append(results, r), result
			if left := r.LeftOut(); left != "" {
				c.note(fmt.Sprintf("%s: %g seconds were too short: %s", what, m.Seconds, left))
			}
			c.event("measured", map[string]any{"what": what, "result": result})
		}
		return nil
	})
	if errors.Is(err, context.Canceled) {
		out.Stopped, err = true, nil
	}
	out.Report = report(results, m.Experiment)
	return out, err
}

func (c *call) measureOne(ctx context.Context, what string, config *train.Config, dev *gpu.Device, budget time.Duration) (bench.Result, error) {
	switch what {
	case measurePeak:
		return bench.MeasurePeak(ctx, dev, budget)
	case measureKernels:
		return bench.MeasureKernels(ctx, config, dev, budget, c.note)
	case measureStep:
		return bench.MeasureStep(ctx, config, dev, measuredSteps, budget, c.note)
	}
	m, err := bench.NewRandomModel(config.Model, dev)
	if err != nil {
		return nil, err
	}
	defer m.Release()
	n := min(measuredTokens, config.Model.MaxPositions/2)
	return bench.MeasureGenerate(ctx, config.Name, m, dev, bench.GenerateOptions{Batches: []int{1}, PromptTokens: n, Tokens: n, Repeat: 3, Budget: budget})
}

// report is plain text with all figures, to copy.
func report(results []bench.Result, experiment string) string {
	var b strings.Builder
	if a, err := findAdapter(); err == nil {
		fmt.Fprintf(&b, "bitnet in a browser\nadapter   %s (%s)\nbrowser   %s\nfeatures  %s\n", a.Name, a.Kind, a.Driver, strings.Join(a.Features, ", "))
		if len(a.Matrices) > 0 {
			fmt.Fprintf(&b, "matrices  %s\n", strings.Join(a.Matrices, ", "))
		}
		for _, l := range a.Limits {
			fmt.Fprintf(&b, "limit     %s: %s\n", l[0], l[1])
		}
	}
	for _, r := range results {
		title := map[string]string{
			measurePeak: "peak", measureKernels: "kernels of a training step of " + experiment,
			measureStep: "training steps of " + experiment, measureGenerate: "generation with the model of " + experiment,
		}[r.Kind()]
		fmt.Fprintf(&b, "\n%s\n", title)
		t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, f := range r.Figures() {
			fmt.Fprintf(t, "  %s\t%.4g %s\n", f.Name, f.Value, f.Unit)
		}
		t.Flush()
		if left := r.LeftOut(); left != "" {
			fmt.Fprintf(&b, "  there was no time for more: %s\n", left)
		}
	}
	return b.String()
}
