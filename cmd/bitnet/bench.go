package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"bitnet/bitnet/bench"
	"bitnet/gpu"
)

func benchCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure speed",
		Long: `Measure speed. Keep a result with --json, and compare a later one with it with
--compare FILE. On a busy machine, take both measurements shortly after each other.`,
		Example: `  bitnet bench peak
  bitnet bench step --exp arithmetic --batch-size 64
  bitnet bench step --exp arithmetic --json > before.json
  bitnet bench step --exp arithmetic --compare before.json`,
	}
	c.AddCommand(benchPeakCommand(), benchKernelsCommand(), benchStepCommand(), benchGenerateCommand(), benchScaleCommand(), benchReportCommand(), benchPartCommand())
	return c
}

// benchFlags are those of every benchmark.
type benchFlags struct {
	adapterFlags
	compare string
	json    bool
}

func (f *benchFlags) add(c *cobra.Command) {
	fl := c.Flags()
	f.adapterFlags.add(fl)
	fl.BoolVar(&f.json, "json", false, "print JSON, for --compare")
	fl.StringVar(&f.compare, "compare", "", "print ratios to an earlier result, a file with the --json output of the same command")
}

// run opens the device, measures and shows the result. The command's name is its kind.
func (f *benchFlags) run(c *cobra.Command, measure func(*gpu.Device) (bench.Result, error), show func(io.Writer)) error {
	var earlier *bench.Earlier
	if f.compare != "" {
		var err error
		if earlier, err = bench.ReadEarlier(f.compare, c.Name()); err != nil {
			return err
		}
	}
	dev, err := f.open(c)
	if err != nil {
		return err
	}
	defer dev.Close()
	b, err := measure(dev)
	if err != nil {
		return err
	}
	out := c.OutOrStdout()
	if f.json {
		text, err := bench.JSON(b)
		if err != nil {
			return err
		}
		if _, err := out.Write(text); err != nil {
			return err
		}
	} else {
		a := dev.Adapter()
		fmt.Fprintf(out, "%s through %s (%s)\n", a.Name, a.Backend, a.Driver)
		show(out)
	}
	if earlier == nil {
		return nil
	}
	ratios, err := earlier.Compare(b)
	if err != nil {
		return err
	}
	if f.json {
		out = c.ErrOrStderr()
	}
	printRatios(out, ratios, f.compare)
	return nil
}

func printRatios(out io.Writer, ratios []bench.Ratio, file string) {
	fmt.Fprintf(out, "\n%12s %12s %8s  compared with %s\n", "before", "now", "times", file)
	for _, r := range ratios {
		fmt.Fprintf(out, "%12.5g %12.5g %7.2fx  %s, %s\n", r.Before, r.Value, r.Times, r.Name, r.Unit)
	}
}
