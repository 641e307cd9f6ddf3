package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bitnet/bitnet"
	"bitnet/bitnet/runs"
	"bitnet/bitnet/runs/chart"
	"bitnet/bitnet/sweep"
	"bitnet/bitnet/task/catalog"
	"bitnet/bitnet/train"
	"bitnet/data/printable"
)

type sweepFlags struct {
	base            trainFlags
	over            []string
	random          int
	name, sweepsDir string
	by              string
	seeds, halve    int
	maxTrials       int
	maxTokens       int64
	maxMinutes      float64
	showResults     bool
}

func sweepCommand() *cobra.Command {
	var f sweepFlags
	c := &cobra.Command{
		Use:   "sweep [FOLDER]",
		Short: "Try many settings of an experiment, and rank them",
		Long: `Try many settings of an experiment, one training run each, and rank them by the
validation loss or another score.

--over says what to try; it may be repeated:
  KEY=A,B,C           these values
  KEY=LOW..HIGH/N     N values between two numbers
  KEY=LOW..HIGH       any number between the two, with --random
All combinations are tried, or N random ones with --random N. KEY is a key of the
configuration, as in train --set.

With --halve 3, all settings train a ninth of their steps, the best third of them
continues to a third, and the best third of those finishes: many settings for the
time of a few. A trial whose loss is not finite, or worse than guessing after the
warm-up, is stopped.

The folder holds a run for each trial, best.yaml (the best settings, for
bitnet train --config), results.json and sweep.svg. Ctrl-C, a spent budget or a
crash lose nothing: the same command with the same --name, or bitnet sweep FOLDER,
continues. Several processes may work on one sweep, each on its own adapter: start
the same command again with another --device.`,
		Example: `  bitnet sweep --exp simple --over learning_rate=1e-3,2e-3,4e-3,8e-3 --seeds 2
  bitnet sweep --exp simple --over optimizer=adamw,muon --over learning_rate=1e-3..3e-2/6 --name muon
  bitnet sweep --exp arithmetic --num-steps 2000 --over learning_rate=1e-4..1e-2 --over batch_size=16,32,64 --random 18 --halve 3
  bitnet sweep sweeps/muon --max-minutes 30
  bitnet sweep sweeps/muon --results`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error { return runSweep(c, &f, args) },
	}
	fl, b := c.Flags(), &f.base
	fl.StringVar(&b.exp, "exp", "", "experiment: "+strings.Join(train.Presets(), ", "))
	fl.StringVar(&b.config, "config", "", "configuration file instead of an experiment")
	fl.StringArrayVar(&b.set, "set", nil, "change a value for all trials: key=value; may be repeated")
	fl.StringVar(&b.data, "data", "", "what to train on: a text file or folder, or "+catalog.Help())
	fl.StringVar(&b.tok, "tokenizer", "", "tokenizer of text: a file, a folder, a run or ORG/NAME on the hub (default: train one)")
	fl.IntVar(&b.steps, "num-steps", 0, "number of optimizer steps of a trial")
	fl.Uint64Var(&b.seed, "seed", 0, "random seed of the first trial of each setting, and of --random")
	fl.StringVar(&b.runsDir, "runs-dir", "runs", "where runs are kept, for --tokenizer")
	b.adapterFlags.add(fl)
	fl.StringArrayVar(&f.over, "over", nil, "what to try: KEY=A,B,C or KEY=LOW..HIGH/N; may be repeated")
	fl.IntVar(&f.random, "random", 0, "try N random combinations instead of all")
	fl.IntVar(&f.seeds, "seeds", 1, "train each setting with N seeds, and rank by the mean")
	fl.StringVar(&f.by, "by", runs.ValidationLoss, `score to rank by, such as "exact match" or "bits per byte"`)
	fl.IntVar(&f.halve, "halve", 0, "stop the worse settings early: one in N continues after each round (0: all finish)")
	fl.IntVar(&f.maxTrials, "max-trials", 0, "begin at most N trials (0: no limit)")
	fl.Int64Var(&f.maxTokens, "max-tokens", 0, "train on at most N tokens in all trials together (0: no limit)")
	fl.Float64Var(&f.maxMinutes, "max-minutes", 0, "stop after N minutes; the sweep can be continued (0: no limit)")
	fl.StringVar(&f.name, "name", "", "name of the sweep (default sweep_<experiment>_<time>)")
	fl.StringVar(&f.sweepsDir, "sweeps-dir", "sweeps", "where sweeps are kept")
	fl.BoolVar(&f.showResults, "results", false, "show the results so far of FOLDER, and train nothing")
	return c
}

func runSweep(c *cobra.Command, f *sweepFlags, args []string) error {
	s, err := f.open(c, args)
	if err != nil {
		return err
	}
	out := c.OutOrStdout()
	if f.showResults {
		return sweepResults(out, s)
	}
	if f.maxMinutes < 0 || f.maxTokens < 0 || f.maxTrials < 0 || math.IsNaN(f.maxMinutes) {
		return usageError{errors.New("--max-minutes, --max-tokens and --max-trials cannot be negative")}
	}
	ctx := c.Context()
	if f.maxMinutes > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(f.maxMinutes*float64(time.Minute)))
		defer cancel()
	}
	trainer := func(ctx context.Context, cfg *train.Config, start train.Start, events train.Events) error {
		_, err := bitnet.Train(ctx, cfg, bitnet.TrainOptions{Start: start, Device: f.base.device(), Events: events})
		return err
	}
	err = s.Run(ctx, sweep.Budget{Trials: f.maxTrials, Tokens: f.maxTokens}, trainer, sweepReporter(c, s))
	if err := sweepResults(out, s); err != nil {
		return err
	}
	again := "bitnet sweep " + printable.Shell(s.Dir)
	switch {
	case errors.Is(err, sweep.ErrBudget) || errors.Is(err, context.DeadlineExceeded) && c.Context().Err() == nil:
		fmt.Fprintf(out, "the budget is spent; %s continues\n", again)
		return nil
	case c.Context().Err() != nil:
		fmt.Fprintf(out, "stopped; %s continues\n", again)
	}
	return err
}

// open makes the sweep that the flags describe, or opens one.
func (f *sweepFlags) open(c *cobra.Command, args []string) (*sweep.Sweep, error) {
	b := &f.base
	described := b.exp != "" || b.config != "" || len(f.over) > 0
	switch {
	case len(args) == 1 && described:
		return nil, usageError{errors.New("give FOLDER to continue a sweep, or --exp and --over to begin one, not both")}
	case len(args) == 1:
		return sweep.Open(args[0])
	case f.showResults:
		return nil, usageError{errors.New("--results needs the folder of a sweep")}
	case len(f.over) == 0:
		return nil, usageError{errors.New("say what to try: --over KEY=A,B,C")}
	}
	cfg, err := b.configuration(c)
	if err != nil {
		return nil, err
	}
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	if err := catalog.Check(cfg.Data.Source); err != nil {
		return nil, usageError{err}
	}
	points, err := f.points(cfg.Train.Seed)
	if err != nil {
		return nil, usageError{err}
	}
	plan, err := sweep.NewPlan(cfg, sweep.Options{Points: points, Seeds: f.seeds, By: f.by, Halve: f.halve})
	if err != nil {
		return nil, usageError{err}
	}
	name := f.name
	if name == "" {
		name = fmt.Sprintf("sweep_%s_%s", cfg.Name, time.Now().Format("20060102_150405"))
	} else if !filepath.IsLocal(name) || filepath.Base(name) != name || strings.HasPrefix(name, ".") {
		return nil, usageError{fmt.Errorf("--name %s: use a plain name", name)}
	}
	s, joined, err := sweep.Create(filepath.Join(f.sweepsDir, name), plan)
	if err == nil {
		what := "sweep in"
		if joined {
			what = "continuing the sweep in"
		}
		fmt.Fprintf(c.OutOrStdout(), "%s %s: %d trials\n", what, printable.String(s.Dir), len(s.Plan.Trials))
	}
	return s, err
}

// points are the settings that --over and --random describe.
func (f *sweepFlags) points(seed uint64) ([][]string, error) {
	var space []sweep.Dimension
	for _, text := range f.over {
		d, err := sweep.ParseDimension(text)
		if err != nil {
			return nil, err
		}
		for _, other := range space {
			if other.Key == d.Key {
				return nil, fmt.Errorf("--over has %s twice", d.Key)
			}
		}
		space = append(space, d)
	}
	if f.random != 0 {
		return sweep.Random(space, f.random, seed)
	}
	return sweep.Grid(space)
}

// sweepReporter prints a line for each part of a trial.
func sweepReporter(c *cobra.Command, s *sweep.Sweep) sweep.Observer {
	out := c.OutOrStdout()
	var began time.Time
	var last *runs.Eval
	return sweep.Observer{
		Note:  noteTo(c),
		Begin: func(sweep.Leg) { began, last = time.Now(), nil },
		Eval:  func(_ sweep.Leg, e runs.Eval) { last = &e },
		End: func(l sweep.Leg, stopped string) {
			line := fmt.Sprintf("trial %s, seed %d, %s: ", l.Trial.ID, l.Trial.Seed, printable.String(l.Trial.Name()))
			took := time.Since(began)
			switch {
			case stopped != "":
				line += "stopped: " + stopped
			case last != nil:
				line += sweepScore(last, s.Plan.By) + fmt.Sprintf(" at step %d, %s", last.Step, brief(took))
			default:
				line += "done"
			}
			if l.Left > 1 {
				line += fmt.Sprintf("; %d more, about %s", l.Left-1, brief(time.Duration(l.Left-1)*took))
				if s.Plan.Rounds > 1 {
					line += fmt.Sprintf(" in round %d of %d", l.Round+1, s.Plan.Rounds)
				}
			}
			fmt.Fprintln(out, line)
		},
	}
}

// sweepScore is the score of an evaluation that ranks trials.
func sweepScore(e *runs.Eval, by string) string {
	for _, score := range e.All() {
		if score.Name == by && score.Part == "" {
			return printable.String(by) + " " + score.Format().Text(score.Value)
		}
	}
	return ""
}

// sweepResults prints the table and the chart, and writes them to the folder.
func sweepResults(out io.Writer, s *sweep.Sweep) error {
	rows, err := s.Results()
	if err != nil {
		return err
	}
	left, err := s.Left()
	if err != nil {
		return err
	}
	if err := s.Write(rows); err != nil {
		return err
	}
	path, err := s.WriteChart(rows)
	if err != nil {
		return err
	}
	fmt.Fprintln(out)
	fmt.Fprint(out, sweepTable(rows, s.Plan))
	if names, panels := s.Chart(rows); len(panels) > 0 {
		width, color := terminal(out)
		if width > 0 {
			fmt.Fprintln(out)
			fmt.Fprint(out, chart.TerminalResponses(names, panels, width, color))
		}
	}
	fmt.Fprintln(out)
	if path != "" {
		fmt.Fprintf(out, "%s shows the results\n", printable.String(path))
	}
	if len(rows) > 0 && rows[0].Steps > 0 && rows[0].Stopped == "" {
		fmt.Fprintf(out, "bitnet train --config %s trains with the best settings\n", printable.Shell(s.BestPath()))
	}
	if left > 0 {
		fmt.Fprintf(out, "settings that are not finished yet: %d\n", left)
	}
	return nil
}

// sweepTable lists the settings, the best first.
func sweepTable(rows []sweep.Row, p *sweep.Plan) string {
	keys := []string{}
	for _, a := range rows[0].Set {
		key, _, _ := strings.Cut(a, "=")
		keys = append(keys, key)
	}
	head := append(append([]string{""}, keys...), p.By, "spread", "steps", "trials", "")
	lines := [][]string{head}
	for i, r := range rows {
		line := []string{fmt.Sprint(i + 1)}
		for _, a := range r.Set {
			_, v, _ := strings.Cut(a, "=")
			line = append(line, printable.String(v))
		}
		value, spread, note := "-", "", ""
		if r.Steps > 0 {
			value = r.Format.Text(float64(r.Value))
			if len(r.Trials) > 1 {
				spread = r.Format.Text(float64(r.Highest - r.Lowest))
			}
		}
		switch {
		case r.Stopped != "":
			note = "stopped: " + r.Stopped
		case r.Steps == 0:
			note = "not finished"
		case !r.Done:
			note = "dropped after a round"
		}
		lines = append(lines, append(line, value, spread, fmt.Sprint(r.Steps), strings.Join(r.Trials, " "), note))
	}
	right := []int{0}
	for i := range keys {
		right = append(right, i+1)
	}
	return table(lines, append(right, len(keys)+1, len(keys)+2, len(keys)+3)...)
}
