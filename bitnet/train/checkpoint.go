package train

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"

	"bitnet/bitnet/model"
	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/runs"
	"bitnet/data/atomicfile"
	"bitnet/graph"
)

// A checkpoint is a model directory of transformers, or an adapter of PEFT, with the
// optimizer's moments and the configuration.
const (
	optimizerName = "optimizer.safetensors"
	configName    = "config.yaml"
)

// moments are the forms that optimizer.safetensors holds.
var moments = []model.Form{{Slot: graph.FirstMoment, Prefix: "m."}, {Slot: graph.SecondMoment, Prefix: "v."}}

// CheckpointBytes is how much a checkpoint of a model that Plan has planned takes:
// the weights that are trained, and the moments that its optimizer keeps, 4 bytes
// each. The other files are small.
func CheckpointBytes(m *model.Model) int64 {
	var n int64
	for _, p := range m.Params.Trained() {
		forms := int64(1)
		for _, f := range moments {
			if p.Keeps(f.Slot) {
				forms++
			}
		}
		n += 4 * forms * int64(p.Rows) * int64(p.Cols)
	}
	return n
}

// save writes a checkpoint of the current step, unless there is one.
func (t *Trainer) save() error {
	if t.saved == t.state.Step {
		return nil
	}
	if err := t.compareWeights(); err != nil {
		return err
	}
	if !t.leads() {
		t.saved, t.savedAt = t.state.Step, time.Now()
		return nil
	}
	if err := t.logs.Sync(); err != nil {
		return err
	}
	dir := t.Run.CheckpointDir(t.state.Step)
	if err := runs.WriteCheckpoint(dir, t.state, t.writeFiles); err != nil {
		return err
	}
	t.saved, t.savedAt = t.state.Step, time.Now()
	if t.events.Checkpoint != nil {
		t.events.Checkpoint(t.saved, dir)
	}
	err := t.Run.Prune(t.Config.Output.KeepCheckpoints, t.keeps)
	if atomicfile.InUse(err) {
		t.events.note(fmt.Sprintf("an old checkpoint stays until the next one is saved, because another program has it open: %v", err))
		return nil
	}
	return err
}

// writeFiles writes the files of a checkpoint into a folder.
func (t *Trainer) writeFiles(dir string) error {
	tok := t.task.Tokenizer()
	write := t.writeModel
	if t.model.Adapted() {
		write = t.writeAdapter
	}
	if err := write(dir); err != nil {
		return err
	}
	if err := t.model.Save(filepath.Join(dir, optimizerName), moments...); err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(dir, configName), t.Config.YAML()); err != nil {
		return err
	}
	if tok == nil {
		return nil
	}
	return tok.Save(dir)
}

// writeModel writes the model in the form of transformers, without its tokenizer.
func (t *Trainer) writeModel(dir string) error {
	if err := t.model.Save(filepath.Join(dir, modelfile.WeightsName), model.Form{Slot: graph.Master}); err != nil {
		return err
	}
	text, err := json.MarshalIndent(modelfile.NewHFConfig(t.Config.Model, t.task.Tokenizer()), "", "  ")
	if err != nil {
		return err
	}
	return atomicfile.Write(filepath.Join(dir, "config.json"), append(text, '\n'))
}

// restore returns to where a checkpoint was written. Rank 0 reads it.
func (t *Trainer) restore(dir string, state runs.State) error {
	if t.leads() {
		if err := t.loadTrained(dir); err != nil {
			return err
		}
		for _, f := range moments {
			if err := t.model.LoadForm(filepath.Join(dir, optimizerName), f); err != nil {
				return err
			}
		}
	}
	if t.group.Size() > 1 {
		if _, err := t.takeOver(everything...); err != nil {
			return err
		}
	}
	if err := t.task.Train().Seek(state.Position); err != nil {
		return err
	}
	t.state, t.saved, t.observed, t.unlogged, t.carried = state, state.Step, state.Step, t.unlogged[:0], 0
	t.noise.open = nil
	return nil
}

// rollBackTo returns to the newest checkpoint.
func (t *Trainer) rollBackTo() error {
	var dir string
	var state runs.State
	var err error
	if t.leads() {
		dir = t.Run.CheckpointDir(t.saved)
		state, err = runs.ReadState(dir, checkpointFiles...)
	}
	if err == nil {
		err = tellJSON(t.group, &state)
	}
	if err == nil {
		err = t.restore(dir, state)
	}
	if err != nil {
		return fmt.Errorf("rolling back: %w", err)
	}
	return nil
}
