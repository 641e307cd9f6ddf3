package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"bitnet/bitnet/bench"
	"bitnet/gpu"
)

func benchKernelsCommand() *cobra.Command {
	var f benchFlags
	var t trainFlags
	c := &cobra.Command{
		Use:   "kernels",
		Short: "Measure each kernel of a training step against what the adapter can do",
		Long: `Time each kernel of a training step by itself, at the real shapes of an
experiment, and compare it with the rates of bench peak, which are measured first.
The share is that of the rate which bounds the kernel: arithmetic, or bandwidth if
moving its data takes longer. Cached data can move faster than that.`,
		Example: `  bitnet bench kernels --exp baseline
  bitnet bench kernels --exp baseline --batch-size 2 --grad-accum 1`,
		Args: exactly(0, "flags only"),
	}
	var everyKernel bool
	c.Flags().BoolVar(&everyKernel, "all", false, "also list kernels that take almost no time")
	f.add(c)
	addShapeFlags(c, &t)
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := t.benchConfiguration(c)
		if err != nil {
			return err
		}
		var b *bench.Kernels
		return f.run(c, func(dev *gpu.Device) (bench.Result, error) {
			b, err = bench.MeasureKernels(c.Context(), cfg, dev, 0, noteTo(c))
			return b, err
		}, func(out io.Writer) {
			printRates(out, b.Rates)
			fmt.Fprintf(out, "\n%s, step of %d x %d x %d tokens: %.1f ms in all kernels, one after another\n", b.Experiment, b.BatchSize, b.SeqLen, b.GradAccum, 1e3*b.StepSeconds())
			fmt.Fprintf(out, "%9s %6s %6s %10s %9s %8s %6s  %s\n", "ms", "calls", "time", "ms/call", "GFLOP/s", "GB/s", "share", "of, kernel, variant")
			slices.SortStableFunc(b.Kernels, func(x, y bench.KernelShare) int {
				return -cmp.Compare(float64(x.Calls)*x.Seconds, float64(y.Calls)*y.Seconds)
			})
			var rest float64
			left := 0
			for _, k := range b.Kernels {
				all := float64(k.Calls) * k.Seconds
				if all < 0.005*b.StepSeconds() && !everyKernel {
					rest += all
					left++
					continue
				}
				variant := k.Family
				if k.Variant != "" {
					variant += " in " + k.Variant
				}
				fmt.Fprintf(out, "%9.2f %6d %5.1f%% %10.3f %9.1f %8.1f %5.0f%%  %s, %s: %s, %s\n", 1e3*all, k.Calls, 100*all/b.StepSeconds(), 1e3*k.Seconds,
					k.Flops/k.Seconds/1e9, float64(k.Bytes)/k.Seconds/1e9, 100*k.Share, k.Limit, k.Op, k.Kernel, variant)
			}
			if left > 0 {
				fmt.Fprintf(out, "%9.2f in %d kernels that take less than 0.5%% each (--all lists them)\n", 1e3*rest, left)
			}
		})
	}
	return c
}
