package train

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"gopkg.in/yaml.v3"

	"bitnet/bitnet/runs"
	"bitnet/data"
	"bitnet/graph"
)

const (
	// maxRollbacks bounds the rollbacks of a run: if it needs more, skipping
	// batches does not help.
	maxRollbacks = 8
	// maxDumps bounds the dumps of one kind that one process writes.
	maxDumps = 10
)

// watch is what a Trainer remembers of the anomalies that it reported.
type watch struct {
	quiet   map[runs.AnomalyKind]int64 // steps before this one are not reported
	ongoing map[runs.AnomalyKind]bool  // of those that last: reported when they begin
	dumps   map[runs.AnomalyKind]int
	starts  [graph.HistorySlots]data.Position // where the batches of a step begin, by step
}

func newWatch() watch {
	return watch{quiet: map[runs.AnomalyKind]int64{}, ongoing: map[runs.AnomalyKind]bool{}, dumps: map[runs.AnomalyKind]int{}}
}

// observe reads what the device recorded of the steps since the last time, and
// judges them.
func (t *Trainer) observe() ([]runs.Anomaly, error) {
	history, err := t.model.Params.History(t.observed, t.state.Step)
	if err == nil {
		err = t.sumLosses(history)
	}
	if err != nil {
		return nil, err
	}
	if err := t.takeNoise(t.observed, history); err != nil {
		return nil, err
	}
	var found []runs.Anomaly
	for i, s := range history {
		for _, a := range judge(&t.state.Recent, s, t.Config.Train.MaxGradNorm) {
			a.Step = t.observed + int64(i) + 1
			found = append(found, a)
		}
		remember(&t.state.Recent, s, t.Config.teacher != nil)
	}
	t.unlogged = append(t.unlogged, history...)
	t.observed = t.state.Step
	return firsts(found), nil
}

// lasting keeps the anomalies that are new, and drops those that were found the
// last time too; of lists the kinds that were checked.
func (w *watch) lasting(found []runs.Anomaly, of ...runs.AnomalyKind) []runs.Anomaly {
	var begun []runs.Anomaly
	now := map[runs.AnomalyKind]bool{}
	for _, a := range found {
		if !now[a.Kind] && !w.ongoing[a.Kind] {
			begun = append(begun, a)
		}
		now[a.Kind] = true
	}
	for _, k := range of {
		w.ongoing[k] = now[k]
	}
	return begun
}

// respond does what the policy says about anomalies, ordered by step. After a
// rollback the trainer is at an earlier step; an error ends the run.
func (t *Trainer) respond(found []runs.Anomaly, about any) (rolledBack bool, err error) {
	for _, a := range found {
		a.Action = t.Config.Train.OnAnomaly
		switch {
		case a.Kind == runs.NotFinite && a.Action == runs.Warn:
			a.Action = runs.Stop // continuing cannot help
		case a.Action == runs.RollBack && !ofStep(a.Kind):
			a.Action = runs.Warn // no batch is to blame
		case a.Action == runs.RollBack && t.state.Rollbacks >= maxRollbacks:
			a.Action = runs.Stop
			a.Message += fmt.Sprintf(", after %d rollbacks", maxRollbacks)
		}
		if a.Action == runs.Warn {
			if a.Step < t.watch.quiet[a.Kind] {
				continue
			}
			t.watch.quiet[a.Kind] = a.Step + runs.RecentSteps
		}
		if t.leads() {
			if err := t.record(a, about); err != nil {
				return false, err
			}
		}
		switch a.Action {
		case runs.Stop:
			return false, fmt.Errorf("step %d: %w: %s; %s", a.Step, ErrAnomaly, a.Message, t.advice())
		case runs.RollBack:
			return true, t.rollBack(a.Step - 1)
		}
	}
	return false, nil
}

// record logs an anomaly, with what is needed to debug it.
func (t *Trainer) record(a runs.Anomaly, about any) (err error) {
	a.Time = time.Now().UTC().Truncate(time.Second)
	if t.watch.dumps[a.Kind] < maxDumps {
		t.watch.dumps[a.Kind]++
		if a.Dump, err = t.dump(a, about); err != nil {
			return err
		}
	}
	if err := t.logs.Anomaly(a); err != nil {
		return err
	}
	if t.events.Anomaly != nil {
		t.events.Anomaly(a)
	}
	return nil
}

func (t *Trainer) advice() string {
	if !t.leads() {
		return "rank 0 says how to resume"
	}
	if t.saved < 0 {
		return "there is no checkpoint: start again with a lower --lr or with --on-anomaly rollback"
	}
	resume := fmt.Sprintf("resume from step %d with: bitnet train --resume %s", t.saved, t.Run.Dir)
	if t.state.Rollbacks >= maxRollbacks {
		return resume + " and a lower --lr"
	}
	return resume + " --on-anomaly rollback, or with a lower --lr"
}

// rollBack returns to the newest checkpoint and skips the batches of
// step (from 0) and those of the step before, whose update may be the cause.
func (t *Trainer) rollBack(step int64) error {
	skipped, rollbacks := slices.Clone(t.state.Skipped), t.state.Rollbacks+1
	for s := max(step-1, t.saved); s <= step; s++ {
		skipped = append(skipped, batchesOf(&t.state, s))
	}
	slices.Sort(skipped)
	if err := t.rollBackTo(); err != nil {
		return err
	}
	t.state.Skipped, t.state.Rollbacks = skipped, rollbacks
	if t.leads() {
		if err := t.logs.Rewind(t.state.Step); err != nil {
			return err
		}
	}
	if err := t.findBest(); err != nil {
		return err
	}
	t.carry()
	return nil
}

// batchesOf says which batches, counted in steps' worth over all that the data
// source gives, step s (from 0) is trained on.
func batchesOf(s *runs.State, step int64) int64 {
	for _, skipped := range s.Skipped {
		if skipped > step {
			break
		}
		step++
	}
	return step
}

// skipBatches skips the batches before those of the next step that are not to
// be trained on.
func (t *Trainer) skipBatches() error {
	step := t.state.Step
	if len(t.state.Skipped) == 0 {
		return nil
	}
	next := int64(0)
	if step > 0 {
		next = batchesOf(&t.state, step-1) + 1
	}
	for ; next < batchesOf(&t.state, step); next++ {
		if err := t.readBatches(t.stepBatches(step)); err != nil {
			return err
		}
	}
	return nil
}

// reread gives the batches of one of the last HistorySlots finished steps
// again.
func (t *Trainer) reread(step int64) ([]*data.Batch, error) {
	now := t.task.Train().Position()
	if err := t.task.Train().Seek(t.watch.starts[step%graph.HistorySlots]); err != nil {
		return nil, err
	}
	batches := make([]*data.Batch, len(t.stepBatches(step)))
	for i := range batches {
		batches[i] = data.NewBatch(t.batches[i].Rows, t.batches[i].Seq)
	}
	if err := t.readBatches(batches); err != nil {
		return nil, err
	}
	return batches, t.task.Train().Seek(now)
}

// stepRecord is what a dump says of a step.
type stepRecord struct {
	Step     int64       `json:"step"`
	Loss     runs.Number `json:"loss"`
	GradNorm runs.Number `json:"grad_norm"`
}

// batchRecord is what a dump says of a micro-batch.
type batchRecord struct {
	Inputs  [][]uint32 `json:"inputs"`
	Targets [][]int64  `json:"targets"` // -1 carries no loss
	Text    []string   `json:"text,omitempty"`
}

// dump writes what is needed to debug an anomaly, and returns its path in the
// run's directory.
func (t *Trainer) dump(a runs.Anomaly, about any) (string, error) {
	var config map[string]any
	if err := yaml.Unmarshal(t.Config.YAML(), &config); err != nil {
		return "", err
	}
	step := a.Step - 1
	batches, err := t.reread(step)
	if err != nil {
		return "", fmt.Errorf("reading the batches of step %d again: %w", a.Step, err)
	}
	tok := t.task.Tokenizer()
	var records []batchRecord
	for _, b := range batches {
		var r batchRecord
		for row := range b.Rows {
			in := b.Inputs[row*b.Seq:][:b.Seq]
			targets := make([]int64, b.Seq)
			for i, id := range b.Targets[row*b.Seq:][:b.Seq] {
				if targets[i] = int64(id); id == data.Ignore {
					targets[i] = -1
				}
			}
			r.Inputs, r.Targets = append(r.Inputs, in), append(r.Targets, targets)
			if tok != nil {
				r.Text = append(r.Text, tok.Decode(in))
			}
		}
		records = append(records, r)
	}
	var steps []stepRecord
	for i, s := range t.unlogged {
		steps = append(steps, stepRecord{t.observed - int64(len(t.unlogged)-i) + 1, runs.Number(s.Loss), runs.Number(s.GradNorm)})
	}
	adapter := t.dev.Adapter()
	text, err := json.Marshal(map[string]any{
		"anomaly": a, "config": config, "device": adapter.Name, "driver": adapter.Driver,
		"seed": t.state.Seed, "lr": t.learningRate(step), "wd": t.Config.Train.weightDecay(step),
		"data_position": t.watch.starts[step%graph.HistorySlots], "batches": records,
		"steps": steps, "recent": t.state.Recent, "skipped_batches": t.state.Skipped, "checkpoint_step": t.saved, "about": about,
	})
	if err != nil {
		return "", fmt.Errorf("describing an anomaly: %w", err)
	}
	return t.Run.WriteDump(a.Step, a.Kind, append(text, '\n'))
}
