package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"bitnet/bitnet/runs"
	"bitnet/bitnet/runs/chart"
	"bitnet/bitnet/train"
	"bitnet/data/atomicfile"
	"bitnet/data/printable"
)

// plotPoints is how many points a curve has in a chart: more than an image is
// wide.
const plotPoints = 1500

func plotCommand() *cobra.Command {
	var runsDir, out, axis string
	var smooth float64
	var compare, schedule bool
	var planned trainFlags
	c := &cobra.Command{
		Use:   "plot [RUN...]",
		Short: "Draw the curves of runs, in the terminal or as an image",
		Long: `Draw loss, validation loss, gradient norm, learning rate, speed, ternary weights
and the scores of evaluations of one run, or of several in the same charts. A
spike is shown however short it was, and a cross marks a value that was not a
number.

RUN is a run's folder, its name, or the beginning of its name; without it, the
run that changed last.

With --schedule, draw learning rate and weight decay over all steps as planned:
of an experiment (--exp) or a configuration file (--config), which need not have
been trained, or of runs. --set and --num-steps show what a change would do.`,
		Example: `  bitnet plot
  bitnet plot runs/my_run -o loss.png
  bitnet plot run_a run_b --x tokens --smooth -o both.svg
  bitnet plot run_a run_b --compare
  bitnet plot --schedule --exp arithmetic --set schedule=trapezoid -o schedule.png`,
		RunE: func(c *cobra.Command, args []string) error {
			o := chart.Options{Axis: runs.Axis(axis), Smooth: smooth}
			switch {
			case o.Axis != runs.BySteps && o.Axis != runs.ByTokens && o.Axis != runs.ByTime:
				return usageError{fmt.Errorf("--x %s: say step, tokens or time", axis)}
			case !(smooth >= 0 && smooth < 1):
				return usageError{fmt.Errorf("--smooth=%g: give a weight from 0 to below 1, such as 0.9", smooth)}
			case compare && len(args) < 2:
				return usageError{errors.New("--compare needs two runs or more")}
			case schedule && (compare || o.Smooth > 0 || o.Axis != runs.BySteps):
				return usageError{errors.New("--schedule draws what is planned for each step: leave out --compare, --smooth and --x")}
			case !schedule && (planned.exp != "" || planned.config != "" || len(planned.set) > 0 || c.Flags().Changed("num-steps")):
				return usageError{errors.New("--exp, --config, --set and --num-steps are for --schedule")}
			case len(args) > 0 && (planned.exp != "" || planned.config != ""):
				return usageError{errors.New("give runs, or --exp or --config, not both")}
			}
			format := ""
			if out != "" {
				var err error
				if format, err = chart.Format(out); err != nil {
					return usageError{err}
				}
			}
			var list []*runs.Run
			var sources []chart.Source
			var err error
			if schedule {
				o.Keys = []runs.Key{runs.LR, runs.WeightDecay, runs.StepTokens, runs.Ramp}
				sources, err = schedules(c, &planned, runsDir, args)
			} else if list, err = findRuns(runsDir, args); err == nil {
				sources, err = loadAll(list, o.Axis)
			}
			if err != nil {
				return err
			}
			stdout := c.OutOrStdout()
			width, color := terminal(stdout)
			if width == 0 {
				width = 100
			}
			if out == "" {
				fmt.Fprint(stdout, chart.Terminal(sources, o, width, color))
			} else {
				var image bytes.Buffer
				if err := chart.Write(&image, format, sources, o); err != nil {
					return err
				}
				if err := atomicfile.Write(out, image.Bytes()); err != nil {
					return fmt.Errorf("writing the chart: %w", err)
				}
				fmt.Fprintf(stdout, "%s shows %s\n", printable.String(out), names(sources))
			}
			if compare {
				_, err = io.WriteString(stdout, "\n"+compareText(list, sources))
			}
			return err
		},
	}
	c.Flags().StringVarP(&out, "output", "o", "", "write an image, .png or .svg, instead of drawing in the terminal")
	c.Flags().StringVar(&axis, "x", "step", "horizontal axis: step, tokens or time (of training)")
	c.Flags().Float64Var(&smooth, "smooth", 0, "smooth curves of what is noisy; --smooth=W sets how much, from 0 to below 1")
	c.Flags().Lookup("smooth").NoOptDefVal = "0.9"
	c.Flags().BoolVar(&compare, "compare", false, "also print how the runs differ: in settings, and at their last common step")
	c.Flags().BoolVar(&schedule, "schedule", false, "draw the planned learning rate, weight decay and growth of the batch of runs, or of --exp or --config")
	c.Flags().StringVar(&planned.exp, "exp", "", "with --schedule: an experiment: "+strings.Join(train.Presets(), ", "))
	c.Flags().StringVar(&planned.config, "config", "", "with --schedule: a configuration file")
	c.Flags().StringArrayVar(&planned.set, "set", nil, "with --schedule: change a value of the configuration: key=value; may be repeated")
	c.Flags().IntVar(&planned.steps, "num-steps", 0, "with --schedule: number of optimizer steps")
	c.Flags().StringVar(&runsDir, "runs-dir", "runs", "where runs are kept")
	return c
}

// loadAll reads what is drawn of runs.
func loadAll(list []*runs.Run, axis runs.Axis) ([]chart.Source, error) {
	var sources []chart.Source
	for _, r := range list {
		s, err := chart.Load(r, axis, plotPoints)
		if err != nil {
			return nil, err
		}
		sources = append(sources, s)
	}
	return sources, nil
}

// findRuns opens the runs that were named, or the newest.
func findRuns(runsDir string, args []string) ([]*runs.Run, error) {
	if len(args) == 0 {
		r, err := runs.Newest(runsDir)
		return []*runs.Run{r}, err
	}
	var list []*runs.Run
	for _, a := range args {
		r, err := runs.Find(runsDir, a)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

func names(sources []chart.Source) string {
	var all []string
	for _, s := range sources {
		all = append(all, s.Name)
	}
	return strings.Join(all, ", ")
}
