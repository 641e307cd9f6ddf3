package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bitnet/bitnet/bench"
	"bitnet/bitnet/runs/chart"
	"bitnet/bitnet/train"
	"bitnet/data/atomicfile"
	"bitnet/data/printable"
	"bitnet/gpu"
)

// scaleFlags are those of bitnet bench scale.
type scaleFlags struct {
	benchFlags
	shape                            trainFlags
	over                             []string
	context, batches, layers, widths []int
	repeat                           int
	budget                           time.Duration
	output                           string
}

func benchScaleCommand() *cobra.Command {
	var f scaleFlags
	c := &cobra.Command{
		Use:   "scale",
		Short: "Measure how the cost of a training step grows with context, batch, layers and width",
		Long: `Measure how the cost of a training step grows: tokens per second, attention's share
of the time, and memory, over the batch, the layers, the width (heads keep their
size; the feed-forward grows with it) and the context (one sequence). For each it fits the
exponents of time, arithmetic and memory, draws them on logarithmic axes, and says where
time grows faster than arithmetic, or activations faster than linearly.

Steps are measured from small to large, each axis within its share of --budget. What
would not end in time is left out; its memory and arithmetic are still counted. Most of
the time of a first measurement on a CPU is compiling; a second one gets further.`,
		Example: `  bitnet bench scale
  bitnet bench scale --over context --context 64,512,4096 --budget 2m
  bitnet bench scale --exp baseline --over batch,layers -o growth.svg
  bitnet bench scale --json > before.json`,
		Args: exactly(0, "flags only"),
		RunE: func(c *cobra.Command, _ []string) error { return f.measure(c) },
	}
	f.benchFlags.add(c)
	addShapeFlags(c, &f.shape)
	fl := c.Flags()
	fl.Lookup("exp").DefValue, f.shape.exp = "simple", "simple"
	fl.StringSliceVar(&f.over, "over", []string{bench.AxisBatch, bench.AxisLayers, bench.AxisWidth, bench.AxisContext}, "what to change, one after the other; the last gets what is left of the time")
	fl.IntSliceVar(&f.context, "context", []int{64, 128, 256, 512, 1024, 2048, 4096, 8192}, "tokens of the one sequence")
	fl.IntSliceVar(&f.batches, "batch", []int{1, 2, 4, 8, 16, 32, 64}, "sequences of a step")
	fl.IntSliceVar(&f.layers, "layers", []int{1, 2, 4, 8}, "layers of the model")
	fl.IntSliceVar(&f.widths, "width", nil, "hidden sizes (default: 1, 2, 4 and 8 times the experiment's)")
	fl.IntVar(&f.repeat, "repeat", 5, "steps to measure at each point")
	fl.DurationVar(&f.budget, "budget", 5*time.Minute, "time for all measurements together")
	fl.StringVarP(&f.output, "output", "o", "", "write the chart to an image, .png or .svg, instead of drawing in the terminal")
	return c
}

func (f *scaleFlags) measure(c *cobra.Command) error {
	format := ""
	if f.output != "" {
		var err error
		if format, err = chart.Format(f.output); err != nil {
			return usageError{err}
		}
	}
	cfg, err := f.shape.benchConfiguration(c)
	if err != nil {
		return err
	}
	o, err := f.options(cfg)
	if err != nil {
		return usageError{err}
	}
	var b *bench.Scale
	err = f.run(c, func(dev *gpu.Device) (bench.Result, error) {
		b, err = bench.MeasureScale(c.Context(), cfg, dev, o, noteTo(c))
		return b, err
	}, func(out io.Writer) {
		printScale(out, b)
		if f.output == "" {
			width, color := terminal(out)
			if width == 0 {
				width = 100
			}
			if panels := b.Charts(); len(panels) > 0 {
				fmt.Fprint(out, "\n"+chart.TerminalResponses([]string{scaleTitle(b)}, panels, width, color))
			}
		}
	})
	if err != nil || f.output == "" {
		return err
	}
	return f.draw(c, b, format)
}

// draw writes the chart, if there is something to draw.
func (f *scaleFlags) draw(c *cobra.Command, b *bench.Scale, format string) error {
	var image bytes.Buffer
	if err := chart.WriteResponses(&image, format, []string{scaleTitle(b)}, b.Charts()); errors.Is(err, chart.ErrEmpty) {
		return fmt.Errorf("%s is not written: a chart needs two points of an axis; raise --budget", printable.String(f.output))
	} else if err != nil {
		return err
	}
	if err := atomicfile.Write(f.output, image.Bytes()); err != nil {
		return fmt.Errorf("writing the chart: %w", err)
	}
	if !f.json {
		fmt.Fprintf(c.OutOrStdout(), "\n%s shows the growth\n", printable.String(f.output))
	}
	return nil
}

// options are what the flags ask for.
func (f *scaleFlags) options(cfg *train.Config) (bench.ScaleOptions, error) {
	o := bench.ScaleOptions{Repeat: f.repeat, Budget: f.budget}
	switch {
	case f.repeat < 1:
		return o, fmt.Errorf("--repeat %d: give 1 or more", f.repeat)
	case f.budget <= 0:
		return o, fmt.Errorf("--budget %v: give a time such as 5m", f.budget)
	case len(f.over) == 0:
		return o, errors.New("--over is empty: name what to change, such as context")
	}
	if len(f.widths) == 0 {
		for _, n := range []int{1, 2, 4, 8} {
			f.widths = append(f.widths, n*cfg.Model.HiddenSize)
		}
	}
	values := map[string][]int{bench.AxisContext: f.context, bench.AxisBatch: f.batches, bench.AxisLayers: f.layers, bench.AxisWidth: f.widths}
	for _, name := range f.over {
		list, ok := values[name]
		if !ok {
			return o, fmt.Errorf("--over %s: use %s, %s, %s or %s", printable.String(name), bench.AxisContext, bench.AxisBatch, bench.AxisLayers, bench.AxisWidth)
		}
		list = slices.Compact(slices.Sorted(slices.Values(list)))
		if len(list) == 0 || list[0] < 1 {
			return o, fmt.Errorf("--%s: give numbers of 1 or more", name)
		}
		o.Axes = append(o.Axes, bench.ScaleAxis{Name: name, Values: list})
	}
	return o, nil
}

func scaleTitle(b *bench.Scale) string {
	return fmt.Sprintf("growth of a training step of %s on %s", b.Experiment, b.Device)
}

// printScale prints a table for each axis.
func printScale(out io.Writer, b *bench.Scale) {
	fmt.Fprintf(out, "%s: %d layers, width %d, %d x %d tokens per step, except for what changes\n", b.Experiment, b.Layers, b.Width, b.BatchSize, b.SeqLen)
	for _, c := range b.Curves {
		what := ""
		if c.Axis == bench.AxisContext {
			what = " (1 sequence)"
		}
		fmt.Fprintf(out, "\n%s%s\n%8s %10s %10s %9s %10s %12s %10s\n", c.Axis, what, "value", "tokens/s", "ms/step", "GFLOP/s", "attention", "activations", "memory")
		for _, p := range c.Points {
			attention := "-"
			if p.Attention != nil {
				attention = fmt.Sprintf("%.1f%%", 100**p.Attention)
			}
			fmt.Fprintf(out, "%8d ", p.Value)
			if p.StepMS > 0 {
				fmt.Fprintf(out, "%10.0f %10.1f %9.2f %10s", p.TokensPerSec, p.StepMS, p.GFlops, attention)
			} else {
				fmt.Fprintf(out, "%10s %10s %9s %10s", "-", "-", "-", "-")
			}
			fmt.Fprintf(out, " %12s %10s", bytesText(p.Activations), bytesText(p.Memory))
			if p.LeftOut != "" {
				fmt.Fprintf(out, "  not measured: %s", p.LeftOut)
			}
			fmt.Fprintln(out)
		}
		e := c.Exponents
		var parts []string
		if e.Arithmetic > 0 {
			parts = append(parts, fmt.Sprintf("time %.2f (its arithmetic %.2f)", e.Time, e.Arithmetic))
		}
		if len(c.Points) > 1 {
			parts = append(parts, fmt.Sprintf("activations %.2f, memory %.2f", e.Activations, e.Memory))
		}
		if len(parts) > 0 {
			fmt.Fprintf(out, "exponents: %s\n", strings.Join(parts, "; "))
		}
		for _, s := range c.Findings {
			fmt.Fprintf(out, "! %s\n", s)
		}
		switch {
		case len(c.Findings) > 0:
		case e.Arithmetic > 0:
			fmt.Fprintln(out, "nothing grows faster than its arithmetic")
		case len(c.Points) > 1:
			fmt.Fprintln(out, "activations grow no faster than linearly")
		}
	}
}
