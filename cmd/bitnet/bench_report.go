package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"bitnet/bitnet/bench"
	"bitnet/bitnet/bench/report"
)

func benchReportCommand() *cobra.Command {
	var f adapterFlags
	var compare string
	o := report.Options{Minutes: 8}
	c := &cobra.Command{
		Use:   "report",
		Short: "Find out everything about one card in a few minutes: is it right, and how fast",
		Long: `Find out everything about one card in a few minutes, in the order of what matters
if the time runs out: adapter and driver, every kernel against float64, training
against PyTorch's losses, what the card can do, whole training steps in each
precision through each backend, kernels, PyTorch on the same card where python3 has
it, and generation. Each part runs in a process of its own, so that a crash of the
driver is written down and the rest goes on. Parts that do not fit into the time are
made smaller or left out, and the report says so.

The folder gets report.md for readers, report.json for --compare and for the table
of cards in docs/performance.md, and report.log with what drivers wrote. All of them
are written after each part, so Ctrl-C leaves what was found. The exit code is 1 if
something was computed wrong.`,
		Example: `  bitnet bench report
  bitnet bench report -o my-card --minutes 15
  bitnet bench report --compare my-card/report.json`,
		Args: exactly(0, "flags only"),
	}
	fl := c.Flags()
	f.add(fl)
	fl.StringVarP(&o.Dir, "output", "o", "", "folder for the report (default: report-DATE-TIME)")
	fl.Float64Var(&o.Minutes, "minutes", o.Minutes, "how long it may take")
	fl.StringVar(&o.Remark, "remark", "", "what a reader has to know about this machine")
	fl.StringVar(&compare, "compare", "", "also print ratios to the report.json of an earlier report")
	c.RunE = func(c *cobra.Command, _ []string) error {
		if !(o.Minutes >= 0.5 && o.Minutes <= 24*60) {
			return usageError{fmt.Errorf("--minutes %g: want from 0.5 to 1440", o.Minutes)}
		}
		program, err := os.Executable()
		if err != nil {
			return fmt.Errorf("finding this program to start its parts: %w", err)
		}
		if compare != "" {
			if o.Earlier, err = bench.ReadEarlier(compare, "report"); err != nil {
				return err
			}
		}
		if o.Dir == "" {
			o.Dir = time.Now().Format("report-20060102-150405")
		}
		o.Backend, o.Device, o.Program = f.backend, f.name, version()
		o.Command = append([]string{"bitnet"}, os.Args[1:]...)
		o.Part = []string{program, "bench", partCommand}
		o.Told = func(s string) { fmt.Fprintln(c.ErrOrStderr(), s) }
		r, err := report.Make(c.Context(), o)
		if r != nil {
			fmt.Fprintf(c.OutOrStdout(), "%s\n", filepath.Join(o.Dir, "report.md"))
		}
		if err != nil {
			return err
		}
		if o.Earlier != nil {
			ratios, err := o.Earlier.Compare(r)
			if err != nil {
				return err
			}
			printRatios(c.OutOrStdout(), ratios, compare)
		}
		return verdict(r)
	}
	return c
}

// verdict is an error if something was computed wrong.
func verdict(r *report.Report) error {
	switch right, checked := r.Right(); {
	case !right:
		return errors.New("some results are wrong on this adapter: the report says which; please send it")
	case checked == 0:
		return errors.New("nothing could be checked on this adapter: the report says why")
	}
	return nil
}

const partCommand = "part"

// benchPartCommand measures one part of a report, for the process that makes it.
func benchPartCommand() *cobra.Command {
	return &cobra.Command{
		Use:     partCommand,
		Short:   "A part of bitnet bench report, which starts it",
		Example: "  bitnet bench report",
		Hidden:  true,
		Args:    exactly(0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			return report.Serve(c.Context(), c.InOrStdin(), c.OutOrStdout())
		},
	}
}
