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

// CreateFolder makes room for a folder that will be at path, where nothing but
// an empty folder may be. It removes what killed processes left next to it.
func CreateFolder(path string) (_ *Folder, err error) {
	parent := filepath.Dir(filepath.Clean(path))
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return nil, err
	}
	if err := sweepFolders(parent); err != nil {
		return nil, err
	}
	hidden, err := os.MkdirTemp(parent, writingPrefix)
	if err != nil {
		return nil, err
	}
	f := &Folder{Dir: filepath.Join(hidden, contentName), path: path, hidden: hidden, lock: flock.New(filepath.Join(hidden, lockName))}
	if _, err = f.lock.TryLock(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		f.Discard()
		return nil, err
	}
	if err := os.Mkdir(f.Dir, 0o755); err != nil {
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
	if err := os.Rename(f.Dir, f.path); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(f.hidden))
}

// Discard removes what is left of a folder that is not placed.
func (f *Folder) Discard() {
	_ = f.lock.Close()
	_ = os.RemoveAll(f.hidden)
}

// sweepFolders removes the hidden folders in parent that no process writes.
func sweepFolders(parent string) error {
	locks, err := filepath.Glob(filepath.Join(escape(parent), writingPrefix+"*", lockName))
	if err != nil {
		return err
	}
	for _, path := range locks {
		lock := flock.New(path)
		free, err := lock.TryLock()
		if err == nil && free {
			err = os.RemoveAll(filepath.Dir(path))
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
