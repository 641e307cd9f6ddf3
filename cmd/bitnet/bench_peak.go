package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"bitnet/bitnet/bench"
	"bitnet/gpu"
	"bitnet/graph/tune"
)

func benchPeakCommand() *cobra.Command {
	var f benchFlags
	c := &cobra.Command{
		Use:   "peak",
		Short: "Measure what the adapter can do: arithmetic, matrix units, bandwidth, dispatch",
		Example: `  bitnet bench peak
  bitnet bench peak --backend dawn --json`,
		Args: exactly(0, "flags only"),
	}
	f.add(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		var b *bench.Peak
		return f.run(c, func(dev *gpu.Device) (bench.Result, error) {
			var err error
			b, err = bench.MeasurePeak(c.Context(), dev, 0)
			return b, err
		}, func(out io.Writer) {
			printRates(out, b.Rates)
		})
	}
	return c
}

func printRates(out io.Writer, rates []tune.Rate) {
	fmt.Fprintf(out, "%10s %10s\n", "median", "best")
	for _, r := range rates {
		if r.Median == 0 {
			fmt.Fprintf(out, "%10s %10s %-8s %s: %s\n", "-", "-", r.Unit, r.Name, r.How)
			continue
		}
		how := ""
		if r.How != "" {
			how = " (" + r.How + ")"
		}
		fmt.Fprintf(out, "%10.1f %10.1f %-8s %s%s\n", r.Median, r.Best, r.Unit, r.Name, how)
	}
}
