package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"bitnet/bitnet"
	"bitnet/data/corpus"
	"bitnet/gpu"
)

type trainFlags struct {
	exp, config, data, resume, init, tok string
	runID, runsDir, device, backend      string
	set                                  []string
	steps, batch, seq, accum             int
	logEvery, evalEvery, sampleEvery, ck int
	lr                                   float64
	seed                                 uint64
	noShuffle, dryRun, quiet             bool
}

func trainCommand() *cobra.Command {
	var f trainFlags
	c := &cobra.Command{
		Use:   "train",
		Short: "Train a model, or go on with a run",
		Long: `Train a model. An experiment (--exp) says everything: model, data, schedule;
flags and --set change single values. The run directory holds config.yaml, logs
and checkpoints; a checkpoint is also a model directory for transformers.

Ctrl-C saves a checkpoint and stops; a second one stops at once.`,
		Example: `  bitnet train --exp simple
  bitnet train --exp arithmetic --num-steps 5000 --batch-size 64
  bitnet train --exp arithmetic --set model.hidden_act=relu2 --dry-run
  bitnet train --exp text --data my-texts/
  bitnet train --exp tinystories --dry-run
  bitnet train --resume runs/bitnet_arithmetic_20260101_120000
  bitnet train --exp simple --init path/to/model --data tokens:ids.u16 --no-shuffle`,
		Args: exactly(0, "flags only"),
		RunE: func(c *cobra.Command, _ []string) error { return train(c, &f) },
	}
	fl := c.Flags()
	fl.StringVar(&f.exp, "exp", "", "experiment: "+strings.Join(bitnet.Presets(), ", "))
	fl.StringVar(&f.config, "config", "", "configuration file instead of an experiment")
	fl.StringArrayVar(&f.set, "set", nil, "change a value of the configuration: key=value; may be repeated")
	fl.StringVar(&f.resume, "resume", "", "go on with a run, from its newest checkpoint, or from the checkpoint given")
	fl.StringVar(&f.init, "init", "", "begin with the weights of a model directory and a new optimizer")
	fl.StringVar(&f.data, "data", "", "what to train on: a text file or folder, text:NAME of a data set, shards:FOLDER of bitnet data prepare, arithmetic, tictactoe, or tokens:FILE of little-endian ids (uint32 if FILE ends in .u32, else uint16)")
	fl.StringVar(&f.tok, "tokenizer", "", "tokenizer of text: a file, a folder or ORG/NAME on the hub (default: train one)")
	fl.BoolVar(&f.noShuffle, "no-shuffle", false, "take the windows of a token file in order")
	fl.IntVar(&f.steps, "num-steps", 0, "optimizer steps")
	fl.IntVar(&f.batch, "batch-size", 0, "sequences of a micro-batch")
	fl.IntVar(&f.seq, "seq-len", 0, "tokens of a sequence")
	fl.IntVar(&f.accum, "grad-accum", 0, "micro-batches of a step")
	fl.Float64Var(&f.lr, "lr", 0, "peak learning rate")
	fl.Uint64Var(&f.seed, "seed", 0, "seed of weights and data order")
	fl.StringVar(&f.runID, "run-id", "", "name of the run (default bitnet_<experiment>_<time>)")
	fl.StringVar(&f.runsDir, "runs-dir", "runs", "where runs are kept")
	fl.StringVar(&f.device, "device", "", "adapter by number or part of its name; see bitnet devices")
	fl.StringVar(&f.backend, "backend", "", backendHelp)
	fl.IntVar(&f.logEvery, "log-interval", 0, "steps between lines of metrics")
	fl.IntVar(&f.evalEvery, "eval-interval", 0, "steps between evaluations")
	fl.IntVar(&f.sampleEvery, "sample-interval", 0, "steps between samples")
	fl.IntVar(&f.ck, "checkpoint-interval", 0, "steps between checkpoints")
	fl.BoolVar(&f.dryRun, "dry-run", false, "print parameters, memory and work of a step, and stop")
	fl.BoolVar(&f.quiet, "quiet", false, "print nothing but errors")
	return c
}

// configuration puts together the experiment and the flags.
func (f *trainFlags) configuration(c *cobra.Command) (*bitnet.Config, error) {
	var cfg *bitnet.Config
	var err error
	switch {
	case f.resume != "" && (f.exp != "" || f.config != "" || f.init != ""):
		return nil, usageError{errors.New("--resume takes everything from the run: leave out --exp, --config and --init")}
	case f.exp == "text" && f.data == "":
		return nil, usageError{errors.New("--exp text needs your text: --data PATH")}
	case f.exp != "" && f.config != "":
		return nil, usageError{errors.New("give --exp or --config, not both")}
	case f.resume != "":
		dir, _, e := bitnet.FindCheckpoint(f.resume, func(string) {})
		if e != nil {
			return nil, e
		}
		cfg, err = bitnet.LoadConfig(filepath.Join(dir, "config.yaml"))
	case f.config != "":
		cfg, err = bitnet.LoadConfig(f.config)
	case f.exp != "":
		cfg, err = bitnet.Preset(f.exp)
	default:
		return nil, usageError{fmt.Errorf("say what to train: --exp %s", strings.Join(bitnet.Presets(), "|"))}
	}
	if err != nil {
		return nil, err
	}
	changed := c.Flags().Changed
	for _, v := range []struct {
		flag string
		from int
		to   *int
	}{
		{"num-steps", f.steps, &cfg.Train.Steps}, {"batch-size", f.batch, &cfg.Train.BatchSize}, {"seq-len", f.seq, &cfg.Train.SeqLen},
		{"grad-accum", f.accum, &cfg.Train.GradAccum}, {"log-interval", f.logEvery, &cfg.Output.LogInterval},
		{"eval-interval", f.evalEvery, &cfg.Output.EvalInterval}, {"sample-interval", f.sampleEvery, &cfg.Output.SampleInterval},
		{"checkpoint-interval", f.ck, &cfg.Output.CheckpointInterval},
	} {
		if changed(v.flag) {
			*v.to = v.from
		}
	}
	if changed("lr") {
		cfg.Train.LearningRate = f.lr
	}
	if changed("seed") {
		cfg.Train.Seed = f.seed
	}
	if f.noShuffle {
		cfg.Data.Shuffle = false
	}
	if f.data != "" {
		cfg.Data.Source = f.data
		kind, _, named := strings.Cut(f.data, ":")
		if known := kind == "text" || kind == "tokens" || kind == "shards"; !(named && known) && f.data != "arithmetic" && f.data != "tictactoe" {
			cfg.Data.Source = "text:" + f.data
		}
	}
	if f.tok != "" {
		cfg.Data.Tokenizer = f.tok
	}
	if f.init != "" {
		if cfg.Model, err = bitnet.ReadModelConfig(f.init); err != nil {
			return nil, err
		}
	}
	for _, s := range f.set {
		if err := cfg.Set(s); err != nil {
			return nil, usageError{err}
		}
	}
	return cfg, cfg.Check()
}

func train(c *cobra.Command, f *trainFlags) error {
	cfg, err := f.configuration(c)
	if err != nil {
		return err
	}
	out := c.OutOrStdout()
	if f.quiet {
		out = io.Discard
	}
	adapters, err := gpu.AdaptersOf(f.backend)
	if err != nil {
		return err
	}
	i, err := gpu.Choose(adapters, f.device)
	if err != nil {
		return err
	}
	if f.dryRun {
		return dryRun(out, cfg, adapters[i])
	}
	dev, err := adapters[i].Open()
	if err != nil {
		return err
	}
	defer dev.Close()
	p := &progress{out: out, steps: int64(cfg.Train.Steps), live: out == os.Stdout && term.IsTerminal(int(os.Stdout.Fd()))}
	fmt.Fprintf(out, "%s on %s: compiling the step\n", cfg.Name, dev.Adapter().Name)
	t, err := bitnet.NewTrainer(c.Context(), cfg, dev, bitnet.Start{RunsDir: f.runsDir, RunID: f.runID, Resume: f.resume, Init: f.init}, p.events())
	if err != nil {
		return err
	}
	p.began, p.first = time.Now(), t.Step()
	fmt.Fprintf(out, "run %s: steps %d to %d, %d tokens a step\n", t.Dir, t.Step()+1, cfg.Train.Steps,
		cfg.Train.BatchSize*cfg.Train.SeqLen*cfg.Train.GradAccum)
	err = t.Run(c.Context())
	if errors.Is(err, context.Canceled) {
		fmt.Fprintf(out, "stopped at step %d; go on with: bitnet train --resume %s\n", t.Step(), t.Dir)
		return err
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "done in %s; next: bitnet eval %s\n", time.Since(p.began).Round(time.Second), t.Dir)
	return nil
}

// progress prints what happens in a run.
type progress struct {
	out   io.Writer
	live  bool // a terminal: the metrics' line is overwritten
	steps int64
	first int64
	began time.Time
	open  bool // the last line is a live one
}

func (p *progress) events() bitnet.Events {
	return bitnet.Events{
		Note:    func(s string) { p.line("%s", s) },
		Metrics: p.metrics,
		Eval: func(r bitnet.EvalResult) {
			if r.ExactMatch == nil {
				p.line("step %d: held-out loss %.4f, perplexity %.2f", r.Step, r.Loss, r.Perplexity)
				return
			}
			p.line("step %d: held-out loss %.4f, %.1f%% of %d problems right (+ %.0f%%, - %.0f%%, * %.0f%%, / %.0f%%)", r.Step, r.Loss,
				100**r.ExactMatch, r.Problems, 100*r.Operators["+"], 100*r.Operators["-"], 100*r.Operators["*"], 100*r.Operators["/"])
		},
		Samples: func(all []bitnet.Sample) {
			for _, s := range all {
				p.line("  %s|%s", s.Prompt, s.Text)
			}
		},
		Checkpoint: func(_ int64, dir string) { p.line("checkpoint %s", dir) },
	}
}

func (p *progress) metrics(m bitnet.Metrics) {
	left := "-"
	if done := m.Step - p.first; done > 0 && m.Step < p.steps {
		left = (time.Since(p.began) / time.Duration(done) * time.Duration(p.steps-m.Step)).Round(time.Second).String()
	}
	text := fmt.Sprintf("step %d/%d  loss %.4f  lr %.2e  norm %.2f  %.0f tokens/s  %d MiB  left %s",
		m.Step, p.steps, m.LossMean, m.LR, m.GradNorm, m.TokensPerSec, m.Memory>>20, left)
	if p.live {
		fmt.Fprintf(p.out, "\r\x1b[K%s", text)
		p.open = true
		return
	}
	p.line("%s", text)
}

func (p *progress) line(format string, args ...any) {
	if p.open {
		fmt.Fprintln(p.out)
		p.open = false
	}
	fmt.Fprintf(p.out, format+"\n", args...)
}

// dryRun prints what a step will need.
func dryRun(out io.Writer, cfg *bitnet.Config, a gpu.Adapter) error {
	m, plan, err := bitnet.Prepare(cfg, a)
	if err != nil {
		return err
	}
	t := cfg.Train
	fmt.Fprintf(out, "experiment        %s\n", cfg.Name)
	fmt.Fprintf(out, "device            %s\n", a.Name)
	fmt.Fprintf(out, "data              %s\n", cfg.Data.Source)
	if p, ok := corpus.FindPreset(strings.TrimPrefix(cfg.Data.Source, "text:")); ok {
		fmt.Fprintf(out, "download          about %.0f GB: %s\n", float64(p.Bytes)/1e9, p.About)
	}
	fmt.Fprintf(out, "parameters        %d\n", m.Params.Count())
	fmt.Fprintf(out, "tokens a step     %d (%d sequences x %d tokens x %d micro-batches)\n", t.BatchSize*t.SeqLen*t.GradAccum, t.BatchSize, t.SeqLen, t.GradAccum)
	fmt.Fprintf(out, "tokens in all     %d\n", int64(t.BatchSize*t.SeqLen*t.GradAccum)*int64(t.Steps))
	fmt.Fprintf(out, "dispatches a step %d\n", plan.Dispatches(t.GradAccum))
	fmt.Fprintf(out, "MFLOP a token     %.1f, forward and backward\n", plan.FlopsPerToken()/1e6)
	fmt.Fprintf(out, "first loss        about %.2f = ln(%d)\n", math.Log(float64(cfg.Model.VocabSize)), cfg.Model.VocabSize)
	var total int64
	for _, x := range plan.Memory() {
		fmt.Fprintf(out, "memory            %9.2f MiB  %s\n", float64(x.Bytes)/(1<<20), x.Arena)
		total += x.Bytes
	}
	fmt.Fprintf(out, "memory            %9.2f MiB  in all\n", float64(total)/(1<<20))
	return nil
}
