package atomicfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"
)

// A folder that is being written lies in a hidden folder next to its place, with
// a lock that its process holds: what a killed process left has none.
const (
	writingPrefix = ".writing-"
	contentName   = "content"
	lockName      = "lock"
)

// Folder is a folder that is being written: whole at its path after Place, and
// else not there.
type Folder struct {
	Dir string // where the files are written

	path, hidden string
	lock         *flock.Flock
}

// NewFolder is CreateFolder for a path that must be free: it refuses one where
// anything but an empty folder is, before anything is written.
func NewFolder(path string) (*Folder, error) {
	entries, err := os.ReadDir(path)
	if _, there := os.Lstat(path); there == nil && (err != nil || len(entries) > 0) {
		return nil, fmt.Errorf("%s exists: choose a new name, or remove it", path)
	}
	return CreateFolder(path)
}

// CreateFolder makes room for a folder that will be at path, where nothing but
// an empty folder may be. It removes what killed processes left next to it.
func CreateFolder(path string) (*Folder, error) {
	parent := filepath.Dir(filepath.Clean(path))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, err
	}
	if err := sweepFolders(parent); err != nil {
		return nil, err
	}
	for range tries {
		f, err := begin(parent, path)
		if !errors.Is(err, errSwept) {
			return f, err
		}
	}
	return nil, fmt.Errorf("writing %s: %w, again and again", path, errSwept)
}

// begin makes the hidden folder. Another process may take it for one that was left
// until its lock is held.
func begin(parent, path string) (*Folder, error) {
	hidden, err := os.MkdirTemp(parent, writingPrefix)
	if err != nil {
		return nil, err
	}
	f := &Folder{Dir: filepath.Join(hidden, contentName), path: path, hidden: hidden, lock: flock.New(filepath.Join(hidden, lockName))}
	locked, err := f.lock.TryLock()
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		err = nil // nobody can sweep either
	case err == nil && !locked:
		err = errSwept
	}
	if err == nil {
		err = os.Mkdir(f.Dir, 0o755)
	}
	if err == nil && locked {
		_, err = os.Stat(f.lock.Path())
	}
	if errors.Is(err, os.ErrNotExist) {
		err = errSwept
	}
	if err != nil {
		f.Discard()
		return nil, err
	}
	return f, nil
}

// Place syncs the folder and renames it to its path. The files in it must be
// synced already.
func (f *Folder) Place() error {
	defer f.Discard()
	if err := SyncDir(f.Dir); err != nil {
		return err
	}
	if err := os.Remove(f.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("placing %s: %w", f.path, err) // something is in it
	}
	if err := Rename(f.Dir, f.path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(f.hidden))
}

// Discard removes what is left of a folder that is not placed.
func (f *Folder) Discard() {
	_ = f.lock.Close()
	_ = removeHidden(f.hidden)
}

// removeHidden removes a hidden folder, the lock after all else: a folder without
// one is empty, also after a kill in between.
func removeHidden(hidden string) error {
	if err := RemoveAll(filepath.Join(hidden, contentName)); err != nil {
		return err
	}
	return RemoveAll(hidden)
}

// sweepFolders removes the hidden folders in parent that no process writes.
func sweepFolders(parent string) error {
	left, err := filepath.Glob(filepath.Join(escape(parent), writingPrefix+"*"))
	if err != nil {
		return err
	}
	for _, hidden := range left {
		if os.Remove(hidden) == nil { // it was empty
			continue
		}
		lock := flock.New(filepath.Join(hidden, lockName), flock.SetFlag(os.O_RDWR)) // only one that is there
		free, err := lock.TryLock()
		if err == nil && free {
			err = removeHidden(hidden)
		}
		_ = lock.Close()
		if err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// escape keeps what stands for other characters in a pattern from doing so.
func escape(path string) string {
	out := make([]byte, 0, len(path))
	for i := range len(path) {
		switch path[i] {
		case '*', '?', '[', '\\':
			if filepath.Separator != '\\' {
				out = append(out, '\\')
			}
		}
		out = append(out, path[i])
	}
	return string(out)
}
