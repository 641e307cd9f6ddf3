package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"bitnet/bitnet/bench"
	"bitnet/bitnet/infer"
	"bitnet/bitnet/model"
	"bitnet/bitnet/train"
	"bitnet/gpu"
)

func benchGenerateCommand() *cobra.Command {
	var f benchFlags
	var exp string
	o := bench.GenerateOptions{Batches: []int{1, 8}}
	c := &cobra.Command{
		Use:   "generate [MODEL]",
		Short: "Measure how fast a model reads prompts and writes",
		Long: `Measure how fast a model reads prompts and writes: tokens per second, and the bytes
that a token needs compared with the adapter's bandwidth, which is measured first.
MODEL is what bitnet generate takes; without one, --exp gives an experiment's model
with random weights.`,
		Example: `  bitnet bench generate runs/my_run
  bitnet bench generate --exp baseline --batch 1,8,32`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("want one model, got %d", len(args))}
			}
			return nil
		},
	}
	f.add(c)
	fl := c.Flags()
	fl.StringVar(&exp, "exp", "baseline", "without MODEL, random weights for the model of: "+strings.Join(train.Presets(), ", "))
	fl.IntSliceVar(&o.Batches, "batch", o.Batches, "sequences at once, one measurement each")
	fl.IntVar(&o.PromptTokens, "prompt-tokens", 128, "tokens of each prompt")
	fl.IntVar(&o.Tokens, "tokens", 64, "new tokens of each sequence")
	fl.IntVar(&o.Context, "context", 0, "tokens to make room for (default: just enough)")
	fl.IntVar(&o.Repeat, "repeat", 3, "texts to measure")
	c.RunE = func(c *cobra.Command, args []string) error {
		var b *bench.Generate
		return f.run(c, func(dev *gpu.Device) (bench.Result, error) {
			name, m, err := benchModel(c, dev, exp, args)
			if err != nil {
				return nil, err
			}
			defer m.Release()
			b, err = bench.MeasureGenerate(c.Context(), name, m, dev, o)
			return b, err
		}, func(out io.Writer) {
			fmt.Fprintf(out, "%s: prompts of %d tokens, %d new ones, context %d; bandwidth %.1f GB/s (%s)\n",
				b.Model, b.PromptTokens, b.NewTokens, b.Context, b.Bandwidth.Median, b.Bandwidth.Name)
			fmt.Fprintf(out, "%8s %10s %10s %9s  %-30s %10s %6s\n", "at once", "prompt t/s", "new t/s", "ms/step", "MiB/step: ternary+float+cache", "MiB/token", "GB/s")
			for _, r := range b.Runs {
				parts := fmt.Sprintf("%.1f + %.1f + %.1f", float64(r.TernaryBytes)/(1<<20), float64(r.FloatBytes)/(1<<20), float64(r.CacheBytes)/(1<<20))
				fmt.Fprintf(out, "%8d %10.1f %10.1f %9.2f  %-30s %10.2f %6.2f, %.0f%% of the bandwidth\n",
					r.Batch, r.PromptPerSec, r.TokensPerSec, r.StepMS, parts, r.BytesPerToken/(1<<20), r.GBPerSec, 100*r.ShareOfMeasured)
			}
		})
	}
	return c
}

// benchModel opens a model, or makes one with an experiment's shapes.
func benchModel(c *cobra.Command, dev *gpu.Device, exp string, args []string) (string, *model.Model, error) {
	if len(args) > 0 {
		m, err := infer.Open(c.Context(), dev, "runs", args[0], noteTo(c))
		if err != nil {
			return "", nil, err
		}
		return args[0], m.Model, nil
	}
	cfg, err := train.Preset(exp)
	if err != nil {
		return "", nil, err
	}
	m, err := bench.NewRandomModel(cfg.Model, dev)
	return exp + " with random weights", m, err
}
