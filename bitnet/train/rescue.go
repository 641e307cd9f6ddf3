package train

import (
	"fmt"
	"os"
	"path/filepath"

	"bitnet/bitnet/runs"
	"bitnet/data/printable"
)

// present reports whether the run directory is still the one that the run
// began in. Files that are open in a directory that was removed can be written
// as if nothing had happened, and all of it is lost.
func (t *Trainer) present() bool {
	if !t.leads() {
		return true
	}
	now, err := os.Stat(t.Run.Dir)
	return err == nil && os.SameFile(t.place, now)
}

// rescue saves a checkpoint in a new run next to the one whose directory was
// removed, and says so in the error that ends the run.
func (t *Trainer) rescue() error {
	for i := 1; ; i++ {
		name := fmt.Sprintf("%s_rescued_%d", filepath.Base(t.Run.Dir), i)
		run, err := runs.Create(filepath.Dir(t.Run.Dir), name, t.Config.YAML())
		if err != nil && i < 100 {
			continue
		}
		if err == nil {
			err = runs.WriteCheckpoint(run.CheckpointDir(t.state.Step), t.state, t.writeFiles)
		}
		if err != nil {
			return fmt.Errorf("the run directory %s was removed during training, and the weights of step %d could not be saved: %w", t.Run.Dir, t.state.Step, err)
		}
		return fmt.Errorf("the run directory %s was removed during training: the weights of step %d are saved: resume with bitnet train --resume %s",
			t.Run.Dir, t.state.Step, printable.Shell(run.Dir))
	}
}
