package main

import (
	"fmt"
	"io"
	"math"

	"bitnet/bitnet/task/catalog"
	"bitnet/bitnet/train"
	"bitnet/data/printable"
	"bitnet/gpu"
)

// dryRun prints what a step will need.
func dryRun(out io.Writer, cfg *train.Config, a gpu.Adapter) error {
	m, plan, err := train.Plan(cfg, a)
	if err != nil {
		return err
	}
	t := cfg.Train
	fmt.Fprintf(out, "experiment          %s\n", cfg.Name)
	fmt.Fprintf(out, "device              %s\n", a.Name)
	fmt.Fprintf(out, "data                %s\n", cfg.Data.Source)
	if p, ok := catalog.Known(cfg.Data.Source); ok {
		fmt.Fprintf(out, "download            about %.2g GiB: %s\n", float64(p.Bytes)/(1<<30), p.About)
	}
	if trained, all := m.Params.Count(), m.Params.Total(); trained != all {
		fmt.Fprintf(out, "parameters          %d trained (%s), on %d frozen ones\n", trained, t.LoRA, all-trained)
	} else {
		fmt.Fprintf(out, "parameters          %d\n", all)
	}
	if t.Teacher != "" {
		fmt.Fprintf(out, "teacher             %s: %d frozen parameters\n", printable.String(t.Teacher), m.TeacherParameters())
	}
	fmt.Fprintf(out, "tokens per step     %d (%d sequences x %d tokens x %d micro-batches)\n", t.BatchSize*t.SeqLen*t.GradAccum, t.BatchSize, t.SeqLen, t.GradAccum)
	if t.BatchGrowth != "" {
		fmt.Fprintf(out, "batch growth        %s: steps of %d tokens at the end\n", t.BatchGrowth, cfg.TokensBetween(int64(t.Steps)-1, int64(t.Steps)))
	}
	if t.Epochs > 0 {
		fmt.Fprintf(out, "total tokens        those of %g epochs of the data\n", t.Epochs)
	} else {
		fmt.Fprintf(out, "total tokens        %d\n", cfg.Tokens())
	}
	fmt.Fprintf(out, "dispatches per step %d\n", plan.Dispatches(t.GradAccum))
	fmt.Fprintf(out, "MFLOP per token     %.1f, forward and backward\n", plan.FlopsPerToken()/1e6)
	if again := plan.Again(); again > 0 {
		fmt.Fprintf(out, "computed again      %.0f%% of the arithmetic, to save memory\n", 100*again)
	}
	fmt.Fprintf(out, "first loss          about %.2f = ln(%d)\n", math.Log(float64(cfg.Model.VocabSize)), cfg.Model.VocabSize)
	var total int64
	for _, x := range plan.Memory() {
		fmt.Fprintf(out, "memory              %9.2f MiB  %s\n", float64(x.Bytes)/(1<<20), x.Arena)
		total += x.Bytes
	}
	fmt.Fprintf(out, "memory              %9.2f MiB  total\n", float64(total)/(1<<20))
	beside, err := train.Beside(cfg, m, plan)
	if err != nil {
		return err
	}
	for _, x := range beside {
		fmt.Fprintf(out, "memory              %9.2f MiB  %s, from the first time on\n", float64(x.Bytes)/(1<<20), x.Arena)
		total += x.Bytes
	}
	fmt.Fprintf(out, "memory              %9.2f MiB  total, with these\n", float64(total)/(1<<20))
	return nil
}
