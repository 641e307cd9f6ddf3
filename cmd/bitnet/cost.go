package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bitnet/bitnet/cluster"
	"bitnet/bitnet/cost"
	"bitnet/bitnet/train"
)

type costFlags struct {
	trainFlags
	params, tokens, bench string
	price, share          float64
	matrix                bool
	workers               int
	link                  string
	copyRate              float64
}

// costReport is what bitnet cost --json prints.
type costReport struct {
	cost.Run
	Flops      float64         `json:"flops"`
	SixND      float64         `json:"flops_6nd"`
	Ratio      float64         `json:"tokens_per_parameter"`
	Chinchilla int64           `json:"chinchilla_tokens"`
	Advice     string          `json:"advice"`
	Source     string          `json:"source"` // of the speeds
	Share      float64         `json:"share,omitempty"`
	Price      float64         `json:"price_per_hour,omitempty"`
	Estimates  []cost.Estimate `json:"estimates"`
	Workers    int             `json:"workers,omitempty"`
	Link       float64         `json:"link_bits_per_second,omitempty"`
	Scaling    []cost.Scaling  `json:"scaling,omitempty"`
}

func costCommand() *cobra.Command {
	var f costFlags
	c := &cobra.Command{
		Use:   "cost",
		Short: "Estimate parameters, arithmetic, memory, time and money of a run",
		Long: `Estimate what a run takes. The time comes from public datasheet figures of
cards and an assumed share of them (--share), or from this machine's own speed: --bench FILE, with the output of bitnet bench step --json,
or --device this, which measures a few steps. docs/cost.md has every formula.`,
		Example: `  bitnet cost --exp baseline --device 4090 --price 0.40
  bitnet cost --exp baseline --device 4090 --workers 8 --link 10Gbit
  bitnet cost --params 350M --tokens 7B
  bitnet cost --exp arithmetic --device this
  bitnet cost --config runs/my_run/config.yaml --bench step.json`,
		Args: exactly(0, "flags only"),
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := f.report(c)
			if err == nil {
				err = f.scale(r)
			}
			if err != nil {
				return err
			}
			if f.json {
				return json.NewEncoder(c.OutOrStdout()).Encode(r)
			}
			return printCost(c.OutOrStdout(), r)
		},
	}
	fl := c.Flags()
	fl.StringVar(&f.params, "params", "", "number of parameters: 350M, 1.3B")
	fl.StringVar(&f.exp, "exp", "", "experiment: "+strings.Join(train.Presets(), ", "))
	fl.StringVar(&f.config, "config", "", "configuration file")
	fl.StringArrayVar(&f.set, "set", nil, "change a value of the configuration: key=value")
	fl.StringVar(&f.tokens, "tokens", "", "tokens to train on: 500M, 7B (default: the steps of the configuration, or 20 per parameter)")
	fl.IntVar(&f.batch, "batch-size", 0, "sequences per micro-batch")
	fl.IntVar(&f.seq, "seq-len", 0, "tokens per sequence")
	fl.IntVar(&f.accum, "grad-accum", 0, "micro-batches per step")
	fl.StringVar(&f.name, "device", "", "card of the table, or \"this\" to measure this machine (default: the whole table)")
	fl.StringVar(&f.backend, "backend", "", "with --device this: "+backendHelp)
	fl.StringVar(&f.bench, "bench", "", "take the speed from a file with the output of bitnet bench step --json")
	fl.Float64Var(&f.share, "share", 0, fmt.Sprintf("assumed share of the card's peak, 0 to 1 (default %g, with --matrix %g)", cost.F32Share, cost.MatrixShare))
	fl.BoolVar(&f.matrix, "matrix", false, "use the peak of the card's matrix units (f16) instead of that of its shaders (f32)")
	fl.Float64Var(&f.price, "price", 0, "price per hour of the device, in any currency")
	fl.IntVar(&f.workers, "workers", 1, "machines or cards that share the run")
	fl.StringVar(&f.link, "link", "10Gbit", "what each worker can send per second: 10Gbit, 100Mbit")
	fl.Float64Var(&f.copyRate, "copy-rate", cost.CopyRate/1e9, "GB/s at which each worker copies and adds gradients in its memory")
	fl.StringVar(&f.exchange, "exchange", "", "how workers exchange gradients: f32 or bf16 (default f32)")
	fl.BoolVar(&f.json, "json", false, "print JSON")
	return c
}

// scale adds what several workers bring.
func (f *costFlags) scale(r *costReport) error {
	if f.workers < 1 || f.workers > 1<<20 {
		return usageError{fmt.Errorf("--workers %d: give 1 or more", f.workers)}
	}
	link, err := cost.ParseLink(f.link)
	if err != nil {
		return usageError{fmt.Errorf("--link %w", err)}
	}
	if f.workers == 1 {
		return nil
	}
	if r.StepTokens == 0 {
		return usageError{errors.New("--workers needs to know what a step is: choose the model with --exp or --config")}
	}
	format, err := cluster.ParseFormat(cmp.Or(f.exchange, cluster.Float32.String()))
	if err != nil {
		return usageError{fmt.Errorf("--exchange %w", err)}
	}
	if !(f.copyRate > 0 && f.copyRate <= 1e9) {
		return usageError{fmt.Errorf("--copy-rate %g: it must be more than 0 GB/s", f.copyRate)}
	}
	r.Workers, r.Link = f.workers, link
	for _, e := range r.Estimates {
		r.Scaling = append(r.Scaling, r.Scale(e, cost.Workers{N: f.workers, Link: link, Format: format, Copy: 1e9 * f.copyRate})...)
	}
	return nil
}

// printScaling says what several workers bring.
func printScaling(out io.Writer, r *costReport) {
	if r.Workers < 2 {
		return
	}
	fmt.Fprintf(out, "\n%d workers, each on %g Gbit/s\n", r.Workers, r.Link/1e9)
	way := ""
	for _, s := range r.Scaling {
		if s.Way != way {
			way = s.Way
			fmt.Fprintf(out, "%s: each sends %s per step; %s where nothing else is done\n", s.Way, bytesText(int64(s.Bytes)), duration(s.Exchange))
			fmt.Fprintf(out, "%-34s %12s %22s\n", "", "same batch", fmt.Sprintf("%d times the batch", r.Workers))
		}
		fmt.Fprintf(out, "%-34s %11.1fx %21.1fx\n", s.Device, s.SameBatch, s.LargerBatch)
	}
}

func (f *costFlags) report(c *cobra.Command) (*costReport, error) {
	named := 0
	for _, s := range []string{f.params, f.exp, f.config} {
		if s != "" {
			named++
		}
	}
	switch {
	case named != 1:
		return nil, usageError{errors.New("say what to estimate: one of --params 350M, --exp NAME, --config FILE")}
	case f.bench != "" && f.name != "":
		return nil, usageError{errors.New("give --bench or --device, not both: each of them sets the speed")}
	case f.params != "" && f.name == "this":
		return nil, usageError{errors.New("--device this trains a few steps: choose the model with --exp or --config")}
	case f.price < 0 || math.IsNaN(f.price) || math.IsInf(f.price, 0):
		return nil, usageError{fmt.Errorf("--price %g: it must not be negative", f.price)}
	case c.Flags().Changed("share") && !(f.share > 0 && f.share <= 1):
		return nil, usageError{fmt.Errorf("--share %g: it must be more than 0 and at most 1", f.share)}
	case f.share == 0 && f.matrix:
		f.share = cost.MatrixShare
	case f.share == 0:
		f.share = cost.F32Share
	}
	tokens, err := amount("--tokens", f.tokens)
	if err != nil {
		return nil, err
	}
	r := &costReport{Price: f.price}
	if f.params != "" {
		params, err := amount("--params", f.params)
		if err != nil {
			return nil, err
		}
		if tokens == 0 {
			tokens = cost.ChinchillaTokens(params)
		}
		r.Run = cost.OfParams(params, tokens)
		return r, f.speeds(r)
	}
	cfg, err := f.configuration(c)
	if err != nil {
		return nil, err
	}
	if f.name != "this" {
		if r.Run, err = cost.OfConfig(cfg, cost.Card(), tokens); err != nil {
			return nil, err
		}
		return r, f.speeds(r)
	}
	dev, err := (&adapterFlags{backend: f.backend}).open(c)
	if err != nil {
		return nil, err
	}
	defer dev.Close()
	if r.Run, err = cost.OfConfig(cfg, dev.Adapter(), tokens); err != nil {
		return nil, err
	}
	b, err := cost.Measure(c.Context(), cfg, dev)
	if err != nil {
		return nil, err
	}
	r.Source = fmt.Sprintf("measured now: steps of %d x %d tokens, %.1f GFLOP/s", b.BatchSize, b.SeqLen, b.GFlops)
	r.Estimates = []cost.Estimate{r.Measured(b)}
	return r, f.speeds(r)
}

// speeds adds the estimates, if there are none yet, and what follows from the run.
func (f *costFlags) speeds(r *costReport) error {
	r.Flops = r.Run.Flops()
	r.SixND = cost.DenseFlops(r.Params) * float64(r.Tokens)
	r.Ratio = float64(r.Tokens) / float64(r.Params)
	r.Chinchilla = cost.ChinchillaTokens(r.Params)
	r.Advice = cost.Advice(r.Params, r.Tokens)
	if r.Estimates != nil {
		return nil
	}
	if f.bench != "" {
		b, err := cost.ReadBench(f.bench)
		if err != nil {
			return err
		}
		r.Source = fmt.Sprintf("measured: %s, %.1f GFLOP/s on %s", f.bench, b.GFlops, b.Experiment)
		r.Estimates = []cost.Estimate{r.Measured(b)}
		return nil
	}
	devices := cost.Devices()
	if f.name != "" {
		d, err := cost.Find(f.name)
		if err != nil {
			return err
		}
		devices = []cost.Device{d}
	}
	what := "f32 shaders"
	if f.matrix {
		what = "f16 matrix units"
	}
	r.Share = f.share
	r.Source = fmt.Sprintf("assumed, not measured: %.0f%% of the datasheet's peak of the %s (--share, --matrix)", 100*f.share, what)
	for _, d := range devices {
		e, err := r.On(d, f.matrix, f.share)
		if err != nil && f.name == "" {
			continue // a card without matrix units
		}
		if err != nil {
			return err
		}
		r.Estimates = append(r.Estimates, e)
	}
	return nil
}

// amount reads a number of parameters or tokens: 3160320, 350M, 1.3B, 2T. ""
// is 0.
func amount(flag, text string) (int64, error) {
	if text == "" {
		return 0, nil
	}
	factor := map[byte]float64{'k': 1e3, 'm': 1e6, 'b': 1e9, 't': 1e12}[strings.ToLower(text)[len(text)-1]]
	number := text
	if factor == 0 {
		factor = 1
	} else {
		number = text[:len(text)-1]
	}
	v, err := strconv.ParseFloat(strings.ReplaceAll(number, ",", ""), 64)
	if n := v * factor; err == nil && n >= 1 && n <= 1e16 {
		return int64(n), nil
	}
	return 0, usageError{fmt.Errorf("%s %q: want a number such as 350M, 1.3B or 3160320", flag, text)}
}

func printCost(out io.Writer, r *costReport) error {
	row := func(name, format string, values ...any) {
		fmt.Fprintf(out, "%-11s  %s\n", name, fmt.Sprintf(format, values...))
	}
	row("model", "%s, %s parameters", r.Name, thousands(r.Params))
	if r.StepTokens > 0 {
		row("tokens", "%s: %s steps of %s", thousands(r.Tokens), thousands((r.Tokens+r.StepTokens-1)/r.StepTokens), thousands(r.StepTokens))
	} else {
		row("tokens", "%s", thousands(r.Tokens))
	}
	if r.Passes > 0 {
		row("", "about %.2g passes over the data set", r.Passes)
	}
	row("ratio", "%.3g tokens per parameter (%s)", r.Ratio, r.Advice)
	row("", "20 per parameter would be %s tokens", thousands(r.Chinchilla))
	row("arithmetic", "%.3g FLOP, %.1f MFLOP per token, forward and backward", r.Flops, r.TokenFlops/1e6)
	if r.StepTokens > 0 {
		row("", "6ND is %.3g FLOP: only the parameters, without attention", r.SixND)
	}
	row("memory", "%s", bytesText(r.Bytes()))
	for _, p := range r.Memory {
		if 100*p.Bytes >= r.Bytes() {
			row("", "%10s  %s", bytesText(p.Bytes), p.Name)
		}
	}
	if r.Beside != nil {
		row("", "%s with samples and evaluations", bytesText(r.MostBytes()))
	}
	if r.StepTokens == 0 {
		row("", "plus activations, which depend on shape and batch: --exp or --config counts them")
	}
	row("speed", "%s", r.Source)
	fmt.Fprintf(out, "\n%-34s %12s %10s", "device", "tokens/s", "time")
	if r.Price > 0 {
		fmt.Fprintf(out, " %10s", "money")
	}
	fmt.Fprintln(out)
	for _, e := range r.Estimates {
		fmt.Fprintf(out, "%-34s %12.0f %10s", e.Device, e.TokensPerSec, duration(e.Seconds))
		if r.Price > 0 {
			fmt.Fprintf(out, " %10.2f", e.Money(r.Price))
		}
		if !e.Fits {
			fmt.Fprint(out, "  (its memory is too small: lower --batch-size, raise --grad-accum)")
		}
		fmt.Fprintln(out)
	}
	printScaling(out, r)
	return nil
}

func bytesText(n int64) string {
	switch {
	case n >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(n)/(1<<30))
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%.1f KiB", float64(n)/(1<<10))
}

// duration writes seconds with the two units that matter.
func duration(seconds float64) string {
	switch {
	case seconds < 60:
		return fmt.Sprintf("%.1f s", seconds)
	case seconds < 3600:
		return fmt.Sprintf("%.0f min", seconds/60)
	case seconds < 48*3600:
		d := time.Duration(seconds * float64(time.Second)).Round(time.Minute)
		return fmt.Sprintf("%d h %02d min", int(d.Hours()), int(d.Minutes())%60)
	case seconds < 2*365*24*3600:
		return fmt.Sprintf("%.1f days", seconds/86400)
	}
	return fmt.Sprintf("%.1f years", seconds/86400/365.25)
}
