package runs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"bitnet/data/atomicfile"
	"bitnet/data/printable"
)

// Beginnings of the names of folders that are not checkpoints yet, or no more.
const (
	writing  = ".writing-"
	removing = ".removing-"
	replaced = ".replaced-"
	aside    = "aside_"
)

var checkpointName = regexp.MustCompile(`^step_(\d{8,18})$`)

// CheckpointStep is the step of a checkpoint, by the name of its directory; -1
// if that is not a checkpoint's.
func CheckpointStep(checkpoint string) int64 {
	m := checkpointName.FindStringSubmatch(filepath.Base(checkpoint))
	if m == nil {
		return -1
	}
	n, _ := strconv.ParseInt(m[1], 10, 64) // 18 digits fit
	return n
}

func (r *Run) checkpointsDir() string { return filepath.Join(r.Dir, "checkpoints") }

// CheckpointDir is the directory of the checkpoint of a step.
func (r *Run) CheckpointDir(step int64) string {
	return filepath.Join(r.checkpointsDir(), fmt.Sprintf("step_%08d", step))
}

// checkpointFolders are the folders with the name of a checkpoint, the newest
// first, whether they are whole or not.
func (r *Run) checkpointFolders() ([]string, error) {
	entries, err := os.ReadDir(r.checkpointsDir())
	if err != nil {
		return nil, fmt.Errorf("listing the checkpoints: %w", err)
	}
	var list []string
	for _, e := range entries {
		if e.IsDir() && CheckpointStep(e.Name()) >= 0 {
			list = append(list, filepath.Join(r.checkpointsDir(), e.Name()))
		}
	}
	slices.SortFunc(list, func(a, b string) int { return int(CheckpointStep(b) - CheckpointStep(a)) })
	return list, nil
}

// Checkpoints lists the checkpoint directories that hold state.json, the newest
// first. Their files are not verified.
func (r *Run) Checkpoints() []string {
	list, err := r.checkpointFolders()
	if err != nil {
		return nil
	}
	return slices.DeleteFunc(list, func(dir string) bool {
		_, err := os.Stat(filepath.Join(dir, stateName))
		return err != nil
	})
}

// FindCheckpoint resolves a run directory to its newest whole checkpoint, and a
// checkpoint directory to itself. The checkpoint must list the files that are
// needed. skipped is called for every damaged one that is passed over.
func FindCheckpoint(path string, skipped func(string), need ...string) (dir string, s State, err error) {
	if _, err := os.Stat(path); err != nil {
		return "", State{}, fmt.Errorf("there is no run or checkpoint %s", printable.String(path))
	}
	list, err := (&Run{Dir: path}).checkpointFolders()
	if err != nil {
		s, err = ReadState(path, need...)
		return filepath.Clean(path), s, err
	}
	for _, dir := range list {
		if s, err = ReadState(dir, need...); err == nil {
			return dir, s, nil
		}
		skipped(fmt.Sprintf("skipping %v", err))
	}
	name := printable.String(path)
	if a := (&Run{Dir: path}).alive(); a.life(time.Now()) == lives {
		return "", State{}, fmt.Errorf("process %d is training %s, which has no whole checkpoint yet: wait for one", a.PID, name)
	}
	return "", State{}, fmt.Errorf("run %s has no whole checkpoint yet: wait for one, or train again from the beginning", name)
}

// Prune removes checkpoints beyond the newest keep; 0 keeps all. Those of steps
// that are always kept stay and do not count. One that another program has open
// (Windows) does not keep the others; atomicfile.InUse knows the error, and the
// next call tries again.
func (r *Run) Prune(keep int, always func(step int64) bool) error {
	if keep == 0 {
		return nil
	}
	list, err := r.checkpointFolders()
	if err != nil {
		return err
	}
	var inUse error
	for _, dir := range append(list, r.half()...) {
		if step := CheckpointStep(dir); step >= 0 {
			if always != nil && always(step) {
				continue
			}
			if keep--; keep >= 0 {
				continue
			}
		}
		if err := remove(dir); atomicfile.InUse(err) {
			inUse = errors.Join(inUse, err)
		} else if err != nil {
			return err
		}
	}
	return inUse
}

// half are the checkpoints whose removal began.
func (r *Run) half() (list []string) {
	entries, _ := os.ReadDir(r.checkpointsDir())
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), removing) {
			list = append(list, filepath.Join(r.checkpointsDir(), e.Name()))
		}
	}
	return list
}

// remove removes a checkpoint. It is renamed first, so that a kill in between leaves no half
// checkpoint.
func remove(dir string) error {
	gone := dir
	if CheckpointStep(dir) >= 0 {
		gone = filepath.Join(filepath.Dir(dir), removing+filepath.Base(dir))
		if err := atomicfile.Rename(dir, gone); err != nil {
			return fmt.Errorf("removing an old checkpoint: %w", err)
		}
	}
	if err := atomicfile.RemoveAll(gone); err != nil {
		return fmt.Errorf("removing an old checkpoint: %w", err)
	}
	return nil
}

// SetAside renames the checkpoints after a step, from which the run continues
// in a different way or because they are damaged, so that they are not taken
// for its newest. Before it touches any, the checkpoint of the step must have a
// valid state. note is called for each.
func (r *Run) SetAside(step int64, note func(string)) error {
	list, err := r.checkpointFolders()
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(dir string) bool { return CheckpointStep(dir) <= step })
	if len(list) == 0 {
		return nil
	}
	if _, err := readStateFile(r.CheckpointDir(step)); err != nil {
		return fmt.Errorf("the checkpoints after step %d stay, because there is no other to continue from: %w", step, err)
	}
	for _, dir := range list {
		to, err := freeName(filepath.Join(filepath.Dir(dir), aside+filepath.Base(dir)))
		if err == nil {
			err = atomicfile.Rename(dir, to)
		}
		if err != nil {
			return fmt.Errorf("setting aside checkpoints: %w", err)
		}
		note(fmt.Sprintf("the run continues from step %d: set aside %s as %s", step, filepath.Base(dir), filepath.Base(to)))
	}
	return nil
}

// freeName is path, or path with the first number from 2 on that is not taken.
func freeName(path string) (string, error) {
	name := path
	for i := 2; ; i++ {
		_, err := os.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			return name, nil
		}
		if err != nil {
			return "", err
		}
		name = fmt.Sprintf("%s_%d", path, i)
	}
}

// sweepCheckpoints removes what a process left that was killed. A checkpoint
// that was being replaced returns to its place.
func (r *Run) sweepCheckpoints() error {
	entries, err := os.ReadDir(r.checkpointsDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(r.checkpointsDir(), e.Name())
		if name, ok := strings.CutPrefix(e.Name(), replaced); ok {
			to := filepath.Join(r.checkpointsDir(), name)
			if _, err := os.Lstat(to); errors.Is(err, fs.ErrNotExist) {
				if err := atomicfile.Rename(path, to); err != nil {
					return err
				}
				continue
			}
		} else if !strings.HasPrefix(e.Name(), writing) && !strings.HasPrefix(e.Name(), removing) {
			continue
		}
		if err := atomicfile.RemoveAll(path); err != nil {
			return err
		}
	}
	return nil
}
