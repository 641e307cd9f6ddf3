package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"bitnet/bitnet"
	"bitnet/bitnet/cluster"
	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/runs"
	"bitnet/bitnet/task/catalog"
	"bitnet/bitnet/train"
	"bitnet/data/printable"
	"bitnet/gpu"
)

type trainFlags struct {
	exp, config, data, resume, init, tok string
	runID, runsDir, precision, tuning    string
	memory, memoryBudget, lora, teacher  string
	adapterFlags
	set                                  []string
	steps, batch, seq, accum             int
	logEvery, evalEvery, sampleEvery, ck int
	lr, ckMinutes, epochs                float64
	seed                                 uint64
	noShuffle, partial, dryRun           bool
	quiet, json                          bool
	onAnomaly, exchange, size            string
	tensorboard                          bool
	swarmFlags

	// What --resume leads to, checked.
	named string // the run or checkpoint
	from  string // the checkpoint
	state *runs.State
}

func trainCommand() *cobra.Command {
	var f trainFlags
	c := &cobra.Command{
		Use:   "train",
		Short: "Train a model, or resume a run",
		Long: `Train a model. An experiment (--exp) sets the model, the data and the schedule;
flags and --set change single values. The run directory holds config.yaml, logs
and checkpoints; a checkpoint is also a model directory for transformers.

Ctrl-C, SIGTERM and a closed terminal (SIGHUP) save a checkpoint and stop after
the step; a second signal stops at once. If only the output is closed, training
continues without it.

Started by mpirun, mpiexec or srun, the processes train one run together:
docs/cluster.md.`,
		Example: `  bitnet train --exp simple
  bitnet train --exp arithmetic --num-steps 5000 --batch-size 64
  bitnet train --exp arithmetic --set model.hidden_act=relu2 --dry-run
  bitnet train --exp text --data my-texts/
  bitnet train --exp text --data my-texts/ --size small
  bitnet train --exp tinystories --dry-run
  bitnet train --exp chat --init bitnet_tinystories_20260101_120000 --data talks.jsonl --epochs 3
  bitnet train --exp chat --init my_model --lora r=16,alpha=32,targets=all --data talks.jsonl --memory low
  bitnet train --exp text --init ORG/NAME --teacher ORG/NAME --data my-texts/
  bitnet train --resume bitnet_arithmetic_20260101_120000
  bitnet train --swarm tls://my-pc.example:4222 --swarm-token "$TOKEN" --data my-texts/
  bitnet train --exp simple --init path/to/model --data tokens:ids.u16 --no-shuffle
  mpirun -n 4 bitnet train --exp baseline`,
		Args: exactly(0, "flags only"),
		RunE: func(c *cobra.Command, _ []string) error { return runTraining(c, &f) },
	}
	fl := c.Flags()
	fl.StringVar(&f.exp, "exp", "", "experiment: "+strings.Join(train.Presets(), ", "))
	fl.StringVar(&f.size, "size", "", "with --exp text, a model and as many steps as train in about an hour on this machine: "+strings.Join(train.Sizes(), ", ")+" (default: the preset's model and steps)")
	fl.StringVar(&f.config, "config", "", "configuration file instead of an experiment")
	fl.StringArrayVar(&f.set, "set", nil, "change a value of the configuration: key=value; may be repeated")
	fl.StringVar(&f.resume, "resume", "", "resume a run from its newest checkpoint, from its best (RUN@best), or from the checkpoint that is given")
	fl.StringVar(&f.init, "init", "", "start with the weights and the tokenizer of a run, a model directory or ORG/NAME on the hub (also a float model of the Llama form), and a new optimizer")
	fl.StringVar(&f.data, "data", "", "what to train on: a text file or folder, or "+catalog.Help())
	fl.StringVar(&f.tok, "tokenizer", "", "tokenizer of text: a file, a folder, a run or ORG/NAME on the hub (default: train one)")
	fl.BoolVar(&f.noShuffle, "no-shuffle", false, "read the windows of a token file in order")
	fl.BoolVar(&f.partial, "partial", false, "without the hub, train on the files of a data set that are in the cache, even if some are missing")
	fl.IntVar(&f.steps, "num-steps", 0, "number of optimizer steps; a preset's warm-up is at most a tenth of them")
	fl.Float64Var(&f.epochs, "epochs", 0, "passes over the data, instead of steps: for conversations")
	fl.IntVar(&f.batch, "batch-size", 0, "sequences per micro-batch")
	fl.IntVar(&f.seq, "seq-len", 0, "tokens per sequence")
	fl.IntVar(&f.accum, "grad-accum", 0, "micro-batches per step")
	fl.Float64Var(&f.lr, "lr", 0, "peak learning rate")
	fl.Uint64Var(&f.seed, "seed", 0, "random seed of weights and data order")
	fl.StringVar(&f.runID, "run-id", "", "name of the run (default bitnet_<experiment>_<time>)")
	runsDirFlag(fl, &f.runsDir)
	f.adapterFlags.add(fl)
	fl.StringVar(&f.precision, "precision", "", precisionHelp)
	fl.StringVar(&f.tuning, "tuning", "", tuningHelp+" (default auto)")
	fl.StringVar(&f.memory, "memory", "", "activations in the adapter's memory: fast (keep all), low (keep few, and compute the rest again), or auto (keep what there is room for) (default auto)")
	fl.StringVar(&f.memoryBudget, "memory-budget", "", "most that a step may hold on the adapter, such as 6GiB (default: what it has)")
	fl.StringVar(&f.lora, "lora", "", "train adapters of low rank on a frozen model (--init): r=16,alpha=32,targets=all, or some of "+strings.Join(modelfile.LoRATargets, ","))
	fl.StringVar(&f.teacher, "teacher", "", "also learn from the logits of a model with the same vocabulary: a run, a model directory or ORG/NAME on the hub, float or ternary")
	fl.IntVar(&f.logEvery, "log-interval", 0, "log metrics every N steps (0: only at the end)")
	fl.IntVar(&f.evalEvery, "eval-interval", 0, "evaluate every N steps (0: only at the end)")
	fl.IntVar(&f.sampleEvery, "sample-interval", 0, "generate samples every N steps (0: only at the end)")
	fl.IntVar(&f.ck, "checkpoint-interval", 0, "save a checkpoint every N steps (0: only at the end)")
	fl.Float64Var(&f.ckMinutes, "checkpoint-minutes", 0, "save a checkpoint at least every N minutes (0: no time limit; default 10)")
	fl.BoolVar(&f.dryRun, "dry-run", false, "print parameters, memory and arithmetic of a step, and stop")
	fl.StringVar(&f.onAnomaly, "on-anomaly", "", "when something goes wrong (NaN, loss spike, ...): warn, stop, or rollback: return to the last checkpoint and skip the batches (default warn)")
	fl.StringVar(&f.exchange, "exchange", "", "how ranks exchange gradients: f32, or bf16: half the traffic (default f32)")
	fl.BoolVar(&f.tensorboard, "tensorboard", false, "also write event files for TensorBoard, into the run's folder tensorboard")
	f.swarmFlags.add(fl)
	fl.BoolVar(&f.quiet, "quiet", false, "print only errors and anomalies")
	fl.BoolVar(&f.json, "json", false, "print one JSON object per line for everything that happens")
	return c
}

// Help of flags that several commands have.
const (
	precisionHelp = "precision of gradients and head: f32, mixed (products in f16, sums in f32), int8 (projections in int8), or auto (mixed on a GPU with matrix units for it, else f32) (default auto)"
	tuningHelp    = "variants of kernels: stored (what bitnet tune found), auto (on a GPU, also measure what is not stored), off (the defaults), or a FILE of bitnet tune"
)

// configuration puts together the experiment and the flags.
func (f *trainFlags) configuration(c *cobra.Command) (*train.Config, error) {
	cfg, err := f.base(c)
	if err != nil {
		return nil, err
	}
	if f.size != "" {
		if err := cfg.Resize(f.size); err != nil {
			return nil, err
		}
	}
	f.override(c, cfg)
	if f.init != "" {
		if f.init, err = modelfile.Resolve(c.Context(), f.runsDir, f.init, noteTo(c)); err != nil {
			return nil, err
		}
		if cfg.Model, err = f.architecture(cfg); err != nil {
			return nil, err
		}
		if longest := cfg.Model.MaxPositions; f.exp != "" && !c.Flags().Changed("seq-len") && !f.sets("seq_len") && cfg.Train.SeqLen > longest {
			cfg.Train.SeqLen = longest // the preset's is for models with a longer context
		}
	}
	for _, s := range f.set {
		if err := cfg.Set(s); err != nil {
			return nil, usageError{err}
		}
	}
	if f.exp != "" && !f.sets("warmup_steps") {
		cfg.LimitWarmup()
	}
	return cfg, nil
}

// architecture is that of the model to start with. One that adapters are trained on may be packed.
func (f *trainFlags) architecture(cfg *train.Config) (modelfile.Config, error) {
	if cfg.Train.LoRA == "" && !f.sets("lora") {
		return modelfile.ReadTrainable(f.init)
	}
	return modelfile.ReadFrozen(f.init)
}

// base is the configuration that the other flags change: that of the run to
// resume, of a file or of an experiment.
func (f *trainFlags) base(c *cobra.Command) (*train.Config, error) {
	switch {
	case f.resume != "" && (f.exp != "" || f.config != ""):
		return nil, usageError{errors.New("--resume takes everything from the run: leave out --exp, --config and --init")}
	case f.resume != "" && c.Flags().Changed("epochs"):
		return nil, usageError{errors.New("a resumed run keeps its steps: give a higher --num-steps instead of --epochs")}
	case c.Flags().Changed("epochs") && c.Flags().Changed("num-steps"):
		return nil, usageError{errors.New("give --epochs or --num-steps, not both")}
	case f.exp != "" && f.config != "":
		return nil, usageError{errors.New("give --exp or --config, not both")}
	case f.resume != "":
		named, err := f.resumed(noteTo(c))
		if err != nil {
			return nil, err
		}
		from, state, err := train.FindCheckpoint(named, noteTo(c))
		if err != nil {
			return nil, err
		}
		f.named, f.from, f.state = named, from, &state
		cfg, err := train.LoadConfig(filepath.Join(from, "config.yaml"))
		if err == nil && f.init != "" && cfg.Train.LoRA == "" {
			return nil, usageError{errors.New("--resume takes everything from the run: leave out --exp, --config and --init")}
		}
		return cfg, err
	case f.config != "":
		return train.LoadConfig(f.config)
	case f.swarmFlags.plan != nil && f.exp == "":
		return f.swarmFlags.configuration()
	case f.exp != "":
		return train.Preset(f.exp)
	}
	return nil, usageError{fmt.Errorf("choose what to train: --exp %s", strings.Join(train.Presets(), "|"))}
}

// override puts the values of the flags that were given into the configuration.
func (f *trainFlags) override(c *cobra.Command, cfg *train.Config) {
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
		// A run that was made short still has curves to look at.
		cfg.Output.LogInterval = min(cfg.Output.LogInterval, max(cfg.Train.Steps/10, 1))
	}
	if changed("num-steps") {
		cfg.Train.Epochs = 0
	}
	if changed("epochs") {
		cfg.Train.Epochs = f.epochs
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
	if changed("memory") {
		cfg.Train.Memory = train.Memory(f.memory)
	}
	if changed("memory-budget") {
		cfg.Train.MemoryBudget = f.memoryBudget
	}
	if changed("lora") {
		cfg.Train.LoRA = f.lora
	}
	if changed("teacher") {
		cfg.Train.Teacher = f.teacher
	}
	if changed("exchange") {
		cfg.Train.Exchange = f.exchange
	}
	if changed("lr") {
		cfg.Train.LearningRate = f.lr
	}
	if changed("tensorboard") {
		cfg.Output.TensorBoard = f.tensorboard
	}
	if f.onAnomaly != "" {
		cfg.Train.OnAnomaly = runs.Action(f.onAnomaly)
	}
	if changed("seed") {
		cfg.Train.Seed = f.seed
	}
	if f.noShuffle {
		cfg.Data.Shuffle = false
	}
	if changed("partial") {
		cfg.Data.Partial = f.partial
	}
	if f.data != "" {
		cfg.Data.Source = catalog.Source(f.data, cfg.Data.Source)
	}
	if f.tok != "" {
		cfg.Data.Tokenizer = f.namedTokenizer()
	}
}

// resumed is the run or checkpoint that --resume names.
func (f *trainFlags) resumed(note func(string)) (string, error) {
	if r, err := runs.Find(f.runsDir, f.resume); err == nil {
		return r.Dir, nil
	}
	if dir, ok, err := runs.FindBest(f.runsDir, f.resume, note); ok {
		return dir, err
	}
	return f.resume, nil
}

// newest reports whether --resume names a run rather than one of its checkpoints.
func (f *trainFlags) newest() bool { return f.resume != "" && filepath.Clean(f.named) != f.from }

// namedTokenizer is what --tokenizer names: that of a run, or what it says.
func (f *trainFlags) namedTokenizer() string {
	if _, err := os.Stat(f.tok); err == nil {
		return f.tok
	}
	r, err := runs.Find(f.runsDir, f.tok)
	if err != nil {
		return f.tok
	}
	if list := r.Checkpoints(); len(list) > 0 {
		return list[0]
	}
	return f.tok
}

// sets reports whether --set changes a key of the configuration.
func (f *trainFlags) sets(key string) bool {
	return slices.ContainsFunc(f.set, func(s string) bool {
		name, _, _ := strings.Cut(s, "=")
		return name == key || strings.HasSuffix(name, "."+key)
	})
}

func runTraining(c *cobra.Command, f *trainFlags) error {
	if f.json && f.quiet {
		return usageError{errors.New("give --quiet or --json, not both")}
	}
	if err := f.swarmFlags.dial(c); err != nil {
		return err
	}
	defer f.swarmFlags.close()
	group, err := cluster.Join()
	if err != nil {
		return err
	}
	var t *train.Trainer
	if err = f.checkSize(group); err == nil {
		t, err = f.train(c, group)
	}
	return leave(c, group, t, err)
}

// checked is the configuration to train with.
func (f *trainFlags) checked(c *cobra.Command) (*train.Config, error) {
	cfg, err := f.configuration(c)
	if err != nil {
		return nil, err
	}
	if err := f.swarmFlags.complete(cfg, f.from != "" || f.init != "" || f.tok != ""); err != nil {
		return nil, err
	}
	if err := cfg.Check(); err != nil { // before a device is looked for
		return nil, err
	}
	if err := cfg.FindTeacher(c.Context(), f.runsDir, noteTo(c)); err != nil {
		return nil, err
	}
	if err := catalog.Check(cfg.Data.Source); err != nil {
		if f.swarmFlags.plan != nil && f.data == "" {
			err = errors.New("the swarm does not say where its text is: give yours with --data PATH")
		} else if f.exp != "" && f.data == "" {
			err = fmt.Errorf("--exp %s needs your data: --data PATH", f.exp)
		}
		return nil, usageError{err}
	}
	return cfg, nil
}

// train trains as one of the ranks of a group, or alone. The trainer is nil if
// it did not begin.
func (f *trainFlags) train(c *cobra.Command, group *cluster.Group) (t *train.Trainer, err error) {
	cfg, err := f.shared(c, group)
	if err != nil {
		return nil, err
	}
	device := f.adapterFlags.device()
	device.Turn = group.Local()
	adapter, err := device.Choose()
	if err != nil {
		return nil, err
	}
	if err := f.fit(c, cfg); err != nil {
		return nil, err
	}
	out := c.OutOrStdout()
	if f.dryRun && group.Rank() == 0 {
		if cfg, err = f.counted(c, cfg); err != nil {
			return nil, err
		}
		return nil, dryRun(out, cfg, adapter)
	}
	if f.dryRun {
		return nil, nil
	}
	var r reporter
	switch {
	case group.Rank() > 0:
		r = silentReporter{}
	case f.json:
		r = newJSONReporter(out)
	case f.quiet:
		r = quietReporter{c.ErrOrStderr()}
	default:
		r = newProgress(out)
	}
	peers, err := f.swarmFlags.peers()
	if err != nil {
		return nil, err
	}
	signal.Ignore(syscall.SIGPIPE) // nobody reads the output any more: training continues
	r.prepare(cfg, adapter)
	events := r.events()
	f.swarmFlags.tell(events.Note)
	defer acknowledge(c.Context(), events.Note)()
	events.Begin = func(begun *train.Trainer) {
		t = begun
		r.start(t)
	}
	_, err = bitnet.Train(c.Context(), cfg, bitnet.TrainOptions{
		Start: train.Start{
			RunsDir: f.runsDir, RunID: f.runID, Resume: f.from, State: f.state, Newest: f.newest(), Init: f.init, Peers: peers, Group: group,
		},
		Device: device, Events: events,
	})
	return t, r.end(t, err)
}

// counted reads the data of a dry run whose steps depend on it, and says what is in it.
func (f *trainFlags) counted(c *cobra.Command, cfg *train.Config) (*train.Config, error) {
	if cfg.Train.Epochs == 0 {
		return cfg, nil
	}
	if f.resume != "" {
		cfg.Train.Epochs = 0 // its steps are known
		return cfg, nil
	}
	job, err := train.Prepare(c.Context(), cfg, train.Start{RunsDir: f.runsDir, Init: f.init}, train.Events{Note: noteTo(c)})
	if err != nil {
		return nil, err
	}
	defer job.Close()
	cfg = job.Config()
	cfg.Train.Epochs = 0 // the steps are known now
	return cfg, nil
}

// acknowledge says at once that Ctrl-C was seen, until its result is called.
func acknowledge(ctx context.Context, note func(string)) (done func()) {
	if note == nil {
		return func() {}
	}
	stop := context.AfterFunc(ctx, func() { note("stopping after this step; press Ctrl-C again to stop now") })
	return func() { stop() }
}

// reporter reports to a user, or a program, what happens in a run.
type reporter interface {
	prepare(*train.Config, gpu.Adapter)
	start(*train.Trainer)
	events() train.Events
	end(*train.Trainer, error) error // gives the error back; the trainer may be nil
}

// nextCommands are what to type after a run.
func nextCommands(t *train.Trainer, err error) []string {
	if t == nil {
		return nil
	}
	dir := printable.Shell(t.Run.Dir)
	if err != nil {
		return []string{"bitnet train --resume " + dir, "bitnet plot " + dir}
	}
	next := []string{"bitnet eval " + dir}
	if k, _, err := catalog.Find(t.Config.Data.Source); err == nil && k.Try != nil {
		next = append(next, k.Try(dir))
	}
	return append(next, "bitnet plot "+dir)
}

// quietReporter reports nothing but anomalies.
type quietReporter struct{ err io.Writer }

func (quietReporter) prepare(*train.Config, gpu.Adapter)    {}
func (quietReporter) start(*train.Trainer)                  {}
func (quietReporter) end(_ *train.Trainer, err error) error { return err }

func (q quietReporter) events() train.Events {
	return train.Events{Anomaly: func(a runs.Anomaly) { fmt.Fprintln(q.err, anomalyLine(a)) }}
}

func anomalyLine(a runs.Anomaly) string {
	doing := map[runs.Action]string{runs.Warn: "continuing", runs.Stop: "stopping", runs.RollBack: "returning to the last checkpoint, without these batches"}[a.Action]
	line := fmt.Sprintf("anomaly at step %d (%s): %s; %s", a.Step, a.Kind, a.Message, doing)
	if a.Dump != "" {
		line += "; details in " + a.Dump
	}
	return line
}
