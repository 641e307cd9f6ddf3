package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bitnet/bitnet/train"
	"bitnet/data/meter"
	"bitnet/graph/tune"
)

func tuneCommand() *cobra.Command {
	var t trainFlags
	var path string
	var force, asJSON bool
	c := &cobra.Command{
		Use:   "tune",
		Short: "Measure which variants of the kernels are fastest on an adapter",
		Long: `Measure the variants of the matrix products of a training step, and store which
are the fastest: training with the same shapes on the same adapter and driver takes
them from there. What is stored already is not measured again. A variant whose
result differs from that of the default is skipped.

On a CPU each variant takes seconds to compile, so this can take many minutes;
Ctrl-C keeps what was measured.`,
		Example: `  bitnet tune --exp baseline
  bitnet tune --exp arithmetic --batch-size 64 --precision mixed
  bitnet tune --config runs/my_run/config.yaml --force
  bitnet tune --exp baseline -o tuning.json
  bitnet train --exp baseline --tuning tuning.json`,
		Args: exactly(0, "flags only"),
	}
	fl := c.Flags()
	fl.StringVar(&t.exp, "exp", "", "experiment: "+strings.Join(train.Presets(), ", "))
	fl.StringVar(&t.config, "config", "", "configuration file instead of an experiment")
	fl.StringArrayVar(&t.set, "set", nil, "change a value of the configuration: key=value")
	fl.IntVar(&t.batch, "batch-size", 0, "sequences per micro-batch")
	fl.IntVar(&t.seq, "seq-len", 0, "tokens per sequence")
	fl.StringVar(&t.precision, "precision", "", precisionHelp)
	t.adapterFlags.add(fl)
	fl.StringVarP(&path, "output", "o", "", "file to write (default: one for the adapter in the user's cache, which training finds)")
	fl.BoolVar(&force, "force", false, "also measure what is already stored")
	fl.BoolVar(&asJSON, "json", false, "print JSON")
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := t.configuration(c)
		if err != nil {
			return err
		}
		dev, err := t.open(c)
		if err != nil {
			return err
		}
		defer dev.Close()
		p := newProgress(c.ErrOrStderr())
		var m *meter.Meter
		began := time.Now()
		r, err := train.Tune(c.Context(), cfg, dev, path, force, tune.Options{
			Note: func(s string) { p.line("%s", s) },
			Progress: func(done, total int, product string) {
				if m == nil {
					m = meter.New(int64(total))
					p.line("%s on %s: %d variants to measure", cfg.Name, dev.Adapter().Name, total)
				}
				now := m.Read()
				m.Add(int64(done) - now.Done)
				line := fmt.Sprintf("variant %d/%d  %s", done+1, total, product)
				if now.ETA > 0 {
					line += "  left " + brief(now.ETA)
				}
				p.bottom(line, p.redraw())
			},
		})
		if m != nil {
			p.line("measured for %s", brief(time.Since(began)))
		}
		if r == nil {
			return err
		}
		out := c.OutOrStdout()
		if asJSON {
			if e := json.NewEncoder(out).Encode(r); err == nil {
				err = e
			}
			return err
		}
		printTuning(out, r)
		return err
	}
	return c
}

func printTuning(out io.Writer, r *train.TuneReport) {
	products := slices.SortedFunc(maps.Keys(r.Products), func(a, b string) int {
		return cmp.Or(-cmp.Compare(r.Products[a].DefaultSeconds, r.Products[b].DefaultSeconds), cmp.Compare(a, b))
	})
	if len(products) > 0 {
		fmt.Fprintf(out, "%10s %10s %6s  %s\n", "default ms", "chosen ms", "times", "product: variant")
	}
	changed := 0
	for _, name := range products {
		p := r.Products[name]
		variant := p.Variant
		if p.Variant == p.Default {
			variant += " (the default)"
		} else {
			changed++
		}
		fmt.Fprintf(out, "%10.3f %10.3f %5.2fx  %s: %s\n", 1e3*p.DefaultSeconds, 1e3*p.Seconds, p.Gain(), name, variant)
	}
	fmt.Fprintf(out, "%d products, %d measured now, %d with a variant other than the default; stored in %s\n", len(products), r.Measured, changed, r.Path)
}
