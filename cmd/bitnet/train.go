package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"bitnet/bitnet"
	"bitnet/gpu"
)

type trainFlags struct {
	exp, config, data, resume, init, tok string
	runID, runsDir, precision, tuning    string
	adapterFlags
	set                                  []string
	steps, batch, seq, accum             int
	logEvery, evalEvery, sampleEvery, ck int
	lr, ckMinutes                        float64
	seed                                 uint64
	noShuffle, dryRun, quiet, json       bool
	onAnomaly                            string
	tensorboard                          bool

	// What --resume leads to, checked.
	from  string
	state *bitnet.State
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
	fl.StringVar(&f.init, "init", "", "begin with the weights of a run, a model folder or ORG/NAME on the hub, and a new optimizer")
	fl.StringVar(&f.data, "data", "", "what to train on: a text file or folder, text:NAME of a data set, shards:FOLDER of bitnet data prepare, arithmetic, tictactoe, or tokens:FILE of little-endian ids (uint32 if FILE ends in .u32, else uint16)")
	fl.StringVar(&f.tok, "tokenizer", "", "tokenizer of text: a file, a folder or ORG/NAME on the hub (default: train one)")
	fl.BoolVar(&f.noShuffle, "no-shuffle", false, "take the windows of a token file in order")
	fl.IntVar(&f.steps, "num-steps", 0, "optimizer steps; ten lines of metrics at least")
	fl.IntVar(&f.batch, "batch-size", 0, "sequences of a micro-batch")
	fl.IntVar(&f.seq, "seq-len", 0, "tokens of a sequence")
	fl.IntVar(&f.accum, "grad-accum", 0, "micro-batches of a step")
	fl.Float64Var(&f.lr, "lr", 0, "peak learning rate")
	fl.Uint64Var(&f.seed, "seed", 0, "seed of weights and data order")
	fl.StringVar(&f.runID, "run-id", "", "name of the run (default bitnet_<experiment>_<time>)")
	fl.StringVar(&f.runsDir, "runs-dir", "runs", "where runs are kept")
	f.adapterFlags.add(fl)
	fl.StringVar(&f.precision, "precision", "", precisionHelp)
	fl.StringVar(&f.tuning, "tuning", "", tuningHelp+" (default auto)")
	fl.IntVar(&f.logEvery, "log-interval", 0, "steps between lines of metrics; 0 for the end alone")
	fl.IntVar(&f.evalEvery, "eval-interval", 0, "steps between evaluations; 0 for the end alone")
	fl.IntVar(&f.sampleEvery, "sample-interval", 0, "steps between samples; 0 for the end alone")
	fl.IntVar(&f.ck, "checkpoint-interval", 0, "steps between checkpoints; 0 for the end alone")
	fl.Float64Var(&f.ckMinutes, "checkpoint-minutes", 0, "the longest time without a checkpoint; 0 for any (default 10)")
	fl.BoolVar(&f.dryRun, "dry-run", false, "print parameters, memory and work of a step, and stop")
	fl.StringVar(&f.onAnomaly, "on-anomaly", "", "when something goes wrong (NaN, loss spike, ...): warn, stop, or rollback to the last checkpoint and leave out the batches (default warn)")
	fl.BoolVar(&f.tensorboard, "tensorboard", false, "also write event files for TensorBoard, into the run's folder tensorboard")
	fl.BoolVar(&f.quiet, "quiet", false, "print nothing but errors and anomalies")
	fl.BoolVar(&f.json, "json", false, "print one JSON object a line for all that happens")
	return c
}

// Help of flags that several commands have.
const (
	precisionHelp = "products of gradients and of the head in f32; mixed: in f16 with sums in f32; int8: those of projections in int8; auto: mixed on a GPU with matrix units for it, else f32 (default auto)"
	tuningHelp    = "variants of kernels: stored, as bitnet tune has found; auto, and on a GPU measure what is not stored; off, the defaults; or a FILE of bitnet tune"
)

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
		var state bitnet.State
		if f.from, state, err = bitnet.FindCheckpoint(f.resume, noteTo(c)); err != nil {
			return nil, err
		}
		f.state = &state
		cfg, err = bitnet.LoadConfig(filepath.Join(f.from, "config.yaml"))
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
	if changed("num-steps") && !changed("log-interval") && f.resume == "" {
		// A run that was made short has curves to look at all the same.
		cfg.Output.LogInterval = min(cfg.Output.LogInterval, max(cfg.Train.Steps/10, 1))
	}
	if changed("checkpoint-minutes") {
		cfg.Output.CheckpointMinutes = f.ckMinutes
	}
	if changed("precision") {
		cfg.Train.Precision = f.precision
	}
	if changed("tuning") {
		cfg.Train.Tuning = f.tuning
	}
	if changed("lr") {
		cfg.Train.LearningRate = f.lr
	}
	if changed("tensorboard") {
		cfg.Output.TensorBoard = f.tensorboard
	}
	if f.onAnomaly != "" {
		cfg.Train.OnAnomaly = f.onAnomaly
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
		if f.init, err = bitnet.ResolveModel(c.Context(), f.init, noteTo(c)); err != nil {
			return nil, err
		}
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
	if f.json && f.quiet {
		return usageError{errors.New("give --quiet or --json, not both")}
	}
	cfg, err := f.configuration(c)
	if err != nil {
		return err
	}
	adapter, err := f.choose()
	if err != nil {
		return err
	}
	out := c.OutOrStdout()
	if f.dryRun {
		return dryRun(out, cfg, adapter)
	}
	var tell teller
	switch {
	case f.json:
		tell = newJSONTeller(out)
	case f.quiet:
		tell = quietTeller{c.ErrOrStderr()}
	default:
		tell = newProgress(out)
	}
	tell.prepare(cfg, adapter)
	note := tell.events().Note
	if note == nil {
		note = func(string) {}
	}
	if c := cfg.Train; c.WarmupSteps >= c.Steps && f.resume == "" {
		note(fmt.Sprintf("the learning rate rises for %d steps, longer than this run: --set warmup_steps=%d lets it fall again", c.WarmupSteps, max(c.Steps/10, 1)))
	}
	start := bitnet.Start{RunsDir: f.runsDir, RunID: f.runID, Resume: f.from, State: f.state, Init: f.init}
	for losses := 0; ; losses++ {
		t, err := trainOnce(c.Context(), cfg, adapter, start, tell, note)
		if !errors.Is(err, gpu.ErrDeviceLost) || t == nil || losses == mostLosses {
			return tell.end(t, err)
		}
		from, state, noCheckpoint := bitnet.FindCheckpoint(t.Dir, func(string) {})
		if noCheckpoint != nil {
			return tell.end(t, err)
		}
		note(fmt.Sprintf("%v: opening it again, to go on from step %d", err, state.Step))
		if start.State == nil || state.Step > start.State.Step {
			losses = 0
		}
		start = bitnet.Start{RunsDir: f.runsDir, Resume: from, State: &state}
	}
}

// mostLosses is how often in a row a lost device is opened again with no
// checkpoint in between. That helps where a driver crashed.
const mostLosses = 3

// trainOnce trains until the end or an error; the trainer is nil if it could not begin.
func trainOnce(ctx context.Context, cfg *bitnet.Config, a gpu.Adapter, start bitnet.Start, tell teller, note func(string)) (*bitnet.Trainer, error) {
	dev, err := bitnet.OpenDevice(a, note)
	if err != nil {
		return nil, err
	}
	defer dev.Close()
	t, err := bitnet.NewTrainer(ctx, cfg, dev, start, tell.events())
	if err != nil {
		return nil, err
	}
	tell.start(t)
	return t, t.Run(ctx)
}

// teller tells a user, or a program, what happens in a run.
type teller interface {
	prepare(*bitnet.Config, gpu.Adapter)
	start(*bitnet.Trainer)
	events() bitnet.Events
	end(*bitnet.Trainer, error) error // gives the error back; the trainer may be nil
}

// nextCommands are what to type behind a run.
func nextCommands(t *bitnet.Trainer, err error) []string {
	if t == nil {
		return nil
	}
	if err != nil {
		return []string{"bitnet train --resume " + t.Dir, "bitnet plot " + t.Dir}
	}
	talk := "chat"
	if t.Config.Data.Source == "tictactoe" {
		talk = "play tictactoe"
	}
	return []string{"bitnet eval " + t.Dir, "bitnet " + talk + " " + t.Dir, "bitnet plot " + t.Dir}
}

// quietTeller tells of nothing but anomalies.
type quietTeller struct{ err io.Writer }

func (quietTeller) prepare(*bitnet.Config, gpu.Adapter)    {}
func (quietTeller) start(*bitnet.Trainer)                  {}
func (quietTeller) end(_ *bitnet.Trainer, err error) error { return err }

func (q quietTeller) events() bitnet.Events {
	return bitnet.Events{Anomaly: func(a bitnet.Anomaly) { fmt.Fprintln(q.err, anomalyLine(a)) }}
}

func anomalyLine(a bitnet.Anomaly) string {
	doing := map[string]string{bitnet.Warn: "going on", bitnet.Stop: "stopping", bitnet.RollBack: "going back to the last checkpoint, without these batches"}[a.Action]
	line := fmt.Sprintf("anomaly at step %d (%s): %s; %s", a.Step, a.Kind, a.Message, doing)
	if a.Dump != "" {
		line += "; details in " + a.Dump
	}
	return line
}
