package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"bitnet/bitnet/cluster"
	"bitnet/bitnet/model"
	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/runs"
	"bitnet/bitnet/task"
	"bitnet/bitnet/task/catalog"
	"bitnet/data/printable"
	"bitnet/data/tokenizer"
	"bitnet/gpu"
	"bitnet/graph"
)

// Start says where a run begins.
type Start struct {
	RunsDir, RunID string
	Resume         string      // a run or checkpoint directory, or ""
	State          *runs.State // of Resume if that is a checkpoint that FindCheckpoint found whole, or nil
	Newest         bool        // Resume is what was the run's newest whole checkpoint when State was read
	Init           string      // a model directory whose weights to start with, or ""
	Peers          Peers       // other machines that train the same model, or nil
	// Group are the ranks that train the run together; nil for this process alone.
	// Only rank 0 needs the fields above.
	Group *cluster.Group
}

// Job is a run that needs only a device to begin: its configuration is checked,
// and its data is open.
type Job struct {
	config Config // Begin fills in what is still open
	start  Start
	events Events
	from   string // the checkpoint or model directory to start from, or ""
	state  runs.State
	run    *runs.Run // of a resumed run; only on rank 0
	unlock func()    // of a resumed run
	task   task.Task
	base   string               // the folder of the model that adapters are trained on; "" without
	own    *tokenizer.Tokenizer // of the model to start from; nil for none

	resumed bool // on all ranks
	share   share
}

// checkpointFiles are what a checkpoint of a model, or of adapters, needs to be resumed.
var checkpointFiles = []string{
	modelfile.WeightsName + "|" + modelfile.AdapterWeightsName, optimizerName, "config.json|" + modelfile.AdapterConfigName, configName,
}

// FindCheckpoint resolves a run directory to its newest whole checkpoint, and a
// checkpoint directory to itself. skipped gets a line for each damaged one.
func FindCheckpoint(path string, skipped func(string)) (dir string, state runs.State, err error) {
	return runs.FindCheckpoint(path, skipped, checkpointFiles...)
}

// Prepare checks a configuration, which stays as it is, and opens what the run
// starts from and its data. A run that is resumed is locked, so that no other
// process trains it.
func Prepare(ctx context.Context, c *Config, start Start, events Events) (_ *Job, err error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	if start.Peers != nil && c.Train.OnAnomaly == runs.RollBack {
		return nil, &ConfigError{errors.New("a worker of a swarm cannot return to an earlier checkpoint: leave out --on-anomaly rollback")}
	}
	if start.Peers != nil && c.Train.BatchGrowth != "" {
		return nil, &ConfigError{errors.New("the steps of a swarm are of one size: leave out train.batch_growth")}
	}
	if start.Peers != nil && start.Group.Size() > 1 {
		return nil, errors.New("a worker of a swarm is one process: leave out --swarm, or start it without mpirun")
	}
	if err := checkAdapterStart(c, start); err != nil {
		return nil, err
	}
	if err := checkTeacherStart(c, start); err != nil {
		return nil, err
	}
	if err := checkRampStart(c, start); err != nil {
		return nil, err
	}
	j := &Job{config: *c, start: start, events: events, state: runs.State{Seed: c.Train.Seed}}
	if j.share, err = c.shareOf(start.Group.Size()); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			j.Close()
		}
	}()
	switch {
	case start.Resume != "":
		err = j.findResume()
	case start.Init != "":
		j.from = start.Init
	}
	if err == nil && c.Train.LoRA != "" {
		err = j.findBase(ctx)
	}
	if err == nil {
		err = j.config.FindTeacher(ctx, start.RunsDir, events.note)
	}
	if err != nil {
		return nil, err
	}
	if j.from != "" {
		if j.own, err = j.openModel(); err != nil {
			return nil, err
		}
	}
	if j.own, err = j.shareOrigin(j.own); err != nil {
		return nil, err
	}
	t := c.Train
	err = inTurn(start.Group, func() (err error) {
		j.task, err = catalog.Open(ctx, task.Options{
			Settings: c.Data, Seq: t.SeqLen, Seed: t.Seed, Vocab: c.Model.VocabSize, Tokens: c.Tokens(), Own: j.own,
			Follow: start.Group.Rank() > 0, Note: events.note, Progress: events.Prepare,
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	if c.keepsBest() {
		if src, err := j.task.Validation(); err == nil && src == nil {
			return nil, &ConfigError{fmt.Errorf("%s has no validation data: output.keep_best and train.early_stopping need some", c.Data.Source)}
		}
	}
	if err := j.settleVocabulary(); err != nil {
		return nil, err
	}
	if err := j.checkTeacher(); err != nil {
		return nil, err
	}
	return j, j.settleSteps()
}

// findResume finds the checkpoint to resume from, and locks its run.
func (j *Job) findResume() (err error) {
	j.from = filepath.Clean(j.start.Resume)
	newest := j.start.Newest
	if j.start.State != nil {
		j.state = *j.start.State
	} else if j.from, j.state, err = FindCheckpoint(j.start.Resume, j.events.note); err != nil {
		return err
	} else {
		newest = j.from != filepath.Clean(j.start.Resume)
	}
	if filepath.Base(filepath.Dir(j.from)) != "checkpoints" {
		return fmt.Errorf("%s is not in the checkpoints folder of a run: use --init to start a new run from it", j.from)
	}
	if err := sameOptimizer(j.from, j.config.Train.Optimizer); err != nil {
		return err
	}
	if j.state.Step >= int64(j.config.Train.Steps) {
		return fmt.Errorf("%s has finished its %d steps: give a higher --num-steps to continue", j.from, j.state.Step)
	}
	if j.run, err = runs.Open(filepath.Dir(filepath.Dir(j.from))); err != nil {
		return err
	}
	if j.unlock, err = j.run.Lock(); err != nil || !newest {
		return err
	}
	return j.stillNewest()
}

// stillNewest is an error if another process has trained the run between the
// search for its newest checkpoint and the lock: to continue from there would undo
// what that process did.
func (j *Job) stillNewest() error {
	_, gone := os.Stat(filepath.Join(j.from, "state.json"))
	changed := gone != nil
	for _, dir := range j.run.Checkpoints() {
		if runs.CheckpointStep(dir) <= j.state.Step {
			break
		}
		if _, err := runs.ReadState(dir, checkpointFiles...); err == nil { // a damaged one was skipped before, too
			changed = true
		}
	}
	if changed {
		return fmt.Errorf("another process has just trained %s: give the same command again to continue from where it ended", printable.String(j.run.Dir))
	}
	return nil
}

// openModel compares the model to start from with the configuration, and gives
// its tokenizer, or nil where it has none.
func (j *Job) openModel() (*tokenizer.Tokenizer, error) {
	from, read := j.from, modelfile.ReadTrainable
	if j.base != "" {
		from, read = j.base, modelfile.ReadFrozen
	}
	got, err := read(from)
	if err != nil {
		return nil, err
	}
	if j.run == nil && modelfile.IsLlama(j.from) {
		j.events.note(fmt.Sprintf("%s is a float model: its projections become ternary, with new norms before the projections o and down", printable.String(j.from)))
	}
	if difference := got.Difference(j.config.Model); difference != "" {
		return nil, fmt.Errorf("%s holds a different model than the configuration describes: %s", from, difference)
	}
	if _, err := os.Stat(filepath.Join(from, "tokenizer.json")); err != nil {
		return nil, nil
	}
	return tokenizer.Load(from)
}

// settleVocabulary gives a new model room for the task's tokenizer.
func (j *Job) settleVocabulary() error {
	tok := j.task.Tokenizer()
	if err := j.keepsVocabulary(tok); err != nil {
		return err
	}
	if tok == nil || tok.Size() <= j.config.Model.VocabSize {
		return nil
	}
	if j.from != "" && (j.own == nil || !tok.Extends(j.own)) {
		return fmt.Errorf("the tokenizer has %d tokens, the model %d: train with the model's own tokenizer", tok.Size(), j.config.Model.VocabSize)
	}
	const multiple = 64 // of rows, which kernels compute in tiles
	j.config.Model.VocabSize = (tok.Size() + multiple - 1) / multiple * multiple
	j.events.note(fmt.Sprintf("model.vocab_size is now %d, for a tokenizer of %d tokens", j.config.Model.VocabSize, tok.Size()))
	return nil
}

// settleSteps turns train.epochs into steps, now that the size of the data is
// known. A resumed run keeps its steps.
func (j *Job) settleSteps() error {
	c := &j.config
	if c.Train.Epochs == 0 || j.run != nil {
		return nil
	}
	counted, ok := j.task.(task.Counted)
	if !ok {
		return &ConfigError{fmt.Errorf("train.epochs is %g, but it is not known beforehand how many rows %s has: give --num-steps instead", c.Train.Epochs, c.Data.Source)}
	}
	per := int64(c.Train.BatchSize) * int64(c.Train.GradAccum)
	steps := c.stepsFor(counted.Rows(c.Train.Epochs))
	if steps > math.MaxInt32 {
		return &ConfigError{fmt.Errorf("train.epochs %g are %d steps: give --num-steps", c.Train.Epochs, steps)}
	}
	c.Train.Steps = int(max(steps, 1))
	if c.shortWarmup {
		c.LimitWarmup()
	}
	j.events.note(fmt.Sprintf("%g epochs are %d steps of %d rows", c.Train.Epochs, c.Train.Steps, per))
	return (&j.config).Check()
}

// Close ends a job that does not begin.
func (j *Job) Close() {
	if j.unlock != nil {
		j.unlock()
		j.unlock = nil
	}
}

// Config is the configuration as far as it is settled by the data: its steps and
// the size of the vocabulary.
func (j *Job) Config() *Config {
	c := j.config
	return &c
}

// Plan checks a configuration and plans its step for an adapter, without a device, its
// memory or the disk, but for a teacher that FindTeacher has not found yet. With
// train.quantize_ramp the step is one of the ramp, which needs the most memory.
func Plan(c *Config, a gpu.Adapter) (*model.Model, *graph.Plan, error) {
	if err := c.Check(); err != nil {
		return nil, nil, err
	}
	s, err := c.shareOf(1)
	if err != nil {
		return nil, nil, err
	}
	return plan(c, s, a, c.Train.ramps(0))
}

// plan plans the micro-batches of a rank, those of the ramp or others.
func plan(c *Config, s share, a gpu.Adapter, ramp bool) (*model.Model, *graph.Plan, error) {
	opt := c.Train.optimizer()
	teacher, err := c.taught()
	if err != nil {
		return nil, nil, err
	}
	m, err := model.NewTaught(c.Model, a, opt.Storage(), c.Train.Precision, c.Train.lora(), teacher)
	if err == nil && c.Train.Clip == ClipGroup {
		err = m.ClipByGroup()
	}
	if err != nil {
		return nil, nil, err
	}
	p, err := m.PlanTraining(c.step(s, c.Train.memory(), ramp))
	return m, p, err
}

// step is what a training step of a share is planned for, in so much memory; ramp says
// whether it quantises only in part.
func (c *Config) step(s share, memory int64, ramp bool) model.Step {
	t := &c.Train
	return model.Step{Batch: s.Rows, Seq: t.SeqLen, Packed: catalog.Packed(c.Data.Source), Optimizer: t.optimizer(), Ramp: ramp, Memory: memory}
}
