package runs

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bitnet/data/atomicfile"
	"bitnet/data/printable"
)

// Size is how many bytes a run takes on the disk, and how many of them its
// checkpoints take. What cannot be read does not count.
func (r *Run) Size() (all, checkpoints int64) {
	return folderSize(r.Dir), folderSize(r.checkpointsDir())
}

// folderSize is the size of the files below a folder.
func folderSize(dir string) int64 {
	var sum int64
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				sum += info.Size()
			}
		}
		return nil // what vanishes while it is counted has no size
	})
	return sum
}

// Idle refuses a run that a process trains.
func (r *Run) Idle() error {
	unlock, err := r.Lock()
	if err != nil {
		return err
	}
	unlock()
	return nil
}

// Rename gives a run that no process trains a new name, in the folder it is in.
// Names of other runs that began with its weights (provenance.json) stay as they are.
func (r *Run) Rename(name string) (*Run, error) {
	if !runName.MatchString(name) {
		return nil, fmt.Errorf("%q cannot be the name of a run: use letters, digits, '.', '_' and '-'", name)
	}
	full, err := filepath.Abs(r.Dir)
	if err != nil {
		return nil, err
	}
	to := filepath.Join(filepath.Dir(full), name)
	// A file system may not tell upper from lower case: then the name that is
	// there is the run's own.
	here, e1 := os.Stat(full)
	there, e2 := os.Lstat(to)
	if e1 == nil && e2 == nil && (to == full || !os.SameFile(here, there)) {
		return nil, fmt.Errorf("%s exists: choose another name", printable.String(to))
	}
	if err := r.Idle(); err != nil {
		return nil, err
	}
	if err := atomicfile.Rename(full, to); err != nil {
		return nil, fmt.Errorf("renaming run %s: %w", printable.String(r.Name), err)
	}
	return &Run{Name: name, Dir: filepath.Join(filepath.Dir(r.Dir), name)}, nil
}

// Remove removes a run that no process trains. It is renamed first, so that a
// kill in between leaves no half run; the next Remove in the same folder
// removes what such a kill left.
func (r *Run) Remove() error {
	if !isRun(r.Dir) {
		return fmt.Errorf("%s is not a run", printable.String(r.Dir))
	}
	full, err := filepath.Abs(r.Dir)
	if err != nil {
		return err
	}
	if info, err := os.Lstat(full); err != nil {
		return fmt.Errorf("removing run %s: %w", printable.String(r.Name), err)
	} else if info.Mode()&fs.ModeSymlink != 0 {
		return fmt.Errorf("%s is a link to a run: remove the link, or name the run that it leads to", printable.String(r.Dir))
	}
	if err := r.Idle(); err != nil {
		return err
	}
	root := filepath.Dir(full)
	gone := filepath.Join(root, removing+filepath.Base(full))
	if err := atomicfile.RemoveAll(gone); err != nil {
		return fmt.Errorf("removing what was left of an earlier run: %w", err)
	}
	if err := atomicfile.Rename(full, gone); err != nil {
		return fmt.Errorf("removing run %s: %w", printable.String(r.Name), err)
	}
	for _, dir := range begun(root, removing) {
		err = errors.Join(err, atomicfile.RemoveAll(dir))
	}
	if err != nil {
		return fmt.Errorf("removing run %s: %w; run the same command again", printable.String(r.Name), err)
	}
	return nil
}

// begun are the folders in dir whose names have one of some beginnings.
func begun(dir string, beginnings ...string) (list []string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if e.IsDir() && slices.ContainsFunc(beginnings, func(b string) bool { return strings.HasPrefix(e.Name(), b) }) {
			list = append(list, filepath.Join(dir, e.Name()))
		}
	}
	return list
}

// Spare is what the checkpoints of a run hold that is neither its last nor its
// best.
type Spare struct {
	Keep    []string // checkpoints that stay, the newest first
	Remove  []string // folders that can go: older checkpoints, damaged ones, ones that were set aside
	Damaged []string // of those in Remove
	Bytes   int64    // of those in Remove
}

// Spare finds out which checkpoints are not needed to resume, to use or to
// compare the run: all but the newest keep whole ones, and the one of the
// lowest validation loss. It reads every checkpoint that it keeps. A run
// without any whole checkpoint has nothing to spare.
func (r *Run) Spare(keep int) (Spare, error) {
	var s Spare
	list, err := r.checkpointFolders()
	if errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	whole := map[string]bool{}
	isWhole := func(dir string) bool {
		ok, known := whole[dir]
		if !known {
			_, err := ReadState(dir)
			ok = err == nil
			whole[dir] = ok
		}
		return ok
	}
	stay := map[string]bool{}
	for _, dir := range list {
		if len(stay) < max(keep, 1) && isWhole(dir) {
			stay[dir] = true
		}
	}
	if len(stay) == 0 {
		return s, nil
	}
	evals, err := r.evaluated()
	if err != nil {
		return s, fmt.Errorf("reading the evaluations: %w", err)
	}
	for _, e := range evals {
		if dir := r.CheckpointDir(e.Step); isWhole(dir) {
			stay[dir] = true
			break
		}
	}
	for _, dir := range list {
		if stay[dir] {
			s.Keep = append(s.Keep, dir)
			continue
		}
		if ok, read := whole[dir]; read && !ok {
			s.Damaged = append(s.Damaged, dir)
		}
		s.Remove = append(s.Remove, dir)
	}
	s.Remove = append(s.Remove, begun(r.checkpointsDir(), aside, writing, removing)...)
	for _, dir := range s.Remove {
		s.Bytes += folderSize(dir)
	}
	return s, nil
}

// RemoveSpare removes what Spare(keep) finds, in a run that no process trains,
// and returns what it removed.
func (r *Run) RemoveSpare(keep int) (Spare, error) {
	unlock, err := r.Lock()
	if err != nil {
		return Spare{}, err
	}
	defer unlock()
	s, err := r.Spare(keep)
	if err != nil {
		return s, err
	}
	for i, dir := range s.Remove {
		if err := remove(dir); err != nil {
			s.Remove = s.Remove[:i]
			return s, err
		}
	}
	return s, nil
}
