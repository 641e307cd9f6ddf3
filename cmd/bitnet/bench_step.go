package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bitnet/bitnet/bench"
	"bitnet/bitnet/train"
	"bitnet/gpu"
	"bitnet/graph"
)

func benchStepCommand() *cobra.Command {
	var f benchFlags
	var t trainFlags
	var repeat int
	var kernels bool
	c := &cobra.Command{
		Use:   "step",
		Short: "Measure whole training steps, and the share of each kind of kernel",
		Long:  "Measure whole training steps. Experiments on text are given random tokens.",
		Example: `  bitnet bench step --exp arithmetic --batch-size 64 --seq-len 64
  bitnet bench step --exp arithmetic --kernels`,
		Args: exactly(0, "flags only"),
	}
	f.add(c)
	addShapeFlags(c, &t)
	c.Flags().IntVar(&repeat, "repeat", 7, "steps to measure")
	c.Flags().BoolVar(&kernels, "kernels", false, "list each kernel instead of each operation")
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := t.benchConfiguration(c)
		if err != nil {
			return err
		}
		var b *bench.Step
		return f.run(c, func(dev *gpu.Device) (bench.Result, error) {
			b, err = bench.MeasureStep(c.Context(), cfg, dev, repeat, 0, noteTo(c))
			return b, err
		}, func(out io.Writer) {
			fmt.Fprintf(out, "%s, step of %d x %d x %d tokens: median %.1f ms of %d (fastest %.1f), %.0f tokens/s, %.2f GFLOP/s\n",
				b.Experiment, b.BatchSize, b.SeqLen, b.GradAccum, b.StepMS, repeat, b.FastestMS, b.TokensPerSec, b.GFlops)
			fmt.Fprintf(out, "first step, including compilation, %.1f s; device memory %d MiB (at most %d); host %.2f ms per step; %.1f allocations, %d readbacks per step\n",
				b.FirstStepS, b.DeviceMemory>>20, b.PeakMemory>>20, b.HostMS, b.AllocsPerStep, b.ReadsPerStep)
			if b.Profile == nil {
				fmt.Fprintln(out, "this adapter has no timestamps: no profile by kernel (bench kernels needs none)")
				return
			}
			printProfile(out, b.Profile, kernels)
		})
	}
	return c
}

// addShapeFlags adds the flags that choose an experiment and its shapes.
func addShapeFlags(c *cobra.Command, f *trainFlags) {
	fl := c.Flags()
	fl.StringVar(&f.exp, "exp", "arithmetic", "experiment: "+strings.Join(train.Presets(), ", "))
	fl.StringArrayVar(&f.set, "set", nil, "change a value of the configuration: key=value")
	fl.IntVar(&f.batch, "batch-size", 0, "sequences per micro-batch")
	fl.IntVar(&f.seq, "seq-len", 0, "tokens per sequence")
	fl.IntVar(&f.accum, "grad-accum", 0, "micro-batches per step")
	fl.StringVar(&f.precision, "precision", "", precisionHelp)
	fl.StringVar(&f.tuning, "tuning", train.TuneStored, tuningHelp)
}

// benchConfiguration is that of a training step to measure. Nothing is tuned on
// the way unless a flag says so.
func (f *trainFlags) benchConfiguration(c *cobra.Command) (*train.Config, error) {
	cfg, err := f.configuration(c)
	if err == nil && !c.Flags().Changed("tuning") && cfg.Train.Tuning == train.TuneAuto {
		cfg.Train.Tuning = f.tuning
	}
	return cfg, err
}

func printProfile(out io.Writer, all []graph.Timing, kernels bool) {
	type group struct {
		name  string
		n     int
		time  time.Duration
		flops float64
	}
	byName := map[string]*group{}
	var total time.Duration
	for _, k := range all {
		name := k.Op
		if kernels {
			name = k.Op + ": " + k.Kernel
		}
		g := byName[name]
		if g == nil {
			g = &group{name: name}
			byName[name] = g
		}
		g.n++
		g.time += k.Time
		g.flops += k.Flops
		total += k.Time
	}
	var groups []*group
	for _, g := range byName {
		groups = append(groups, g)
	}
	slices.SortFunc(groups, func(a, b *group) int { return int(b.time - a.time) })
	fmt.Fprintf(out, "%8s %6s %9s %6s  %s\n", "ms", "share", "GFLOP/s", "calls", "kernels")
	for _, g := range groups {
		fmt.Fprintf(out, "%8.2f %5.1f%% %9.2f %6d  %s\n", float64(g.time)/1e6, 100*float64(g.time)/float64(max(total, 1)),
			g.flops/max(g.time.Seconds(), 1e-9)/1e9, g.n, g.name)
	}
}
