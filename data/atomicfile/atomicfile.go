// Package atomicfile replaces files so that a reader, or a machine that loses
// power, finds the old file or the new one, and never a part of one.
package atomicfile

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/gofrs/flock"
)

// suffix ends the names of files that are being written.
const suffix = ".tmp"

// tries bounds how often a file or folder is begun again because another process
// swept it away in the moment before it was locked.
const tries = 10

// errSwept says that what was just made is gone again.
var errSwept = errors.New("another process removed what was being written")

// Write replaces the file at path with data: it writes a hidden file of another
// name in the same folder, syncs it, renames it and syncs the folder. Several
// processes may write the same path; the last one wins. Hidden files that killed
// processes left of the same path are removed. After an error path holds its old
// content or, if only the folder could not be synced, the new one.
func Write(path string, data []byte) error {
	dir, name := filepath.Split(path)
	for range tries {
		temp := fmt.Sprintf("%s.%s.%d-%08x%s", dir, name, os.Getpid(), rand.Uint32(), suffix)
		if err := place(temp, path, data); errors.Is(err, errSwept) {
			continue
		} else if err != nil {
			return err
		}
		dir = filepath.Dir(path)
		sweepOf(dir, name)
		return SyncDir(dir)
	}
	return fmt.Errorf("writing %s: %w, again and again", path, errSwept)
}

// place writes temp and renames it to path. It holds a lock on temp meanwhile: what
// a killed process left has none.
func place(temp, path string, data []byte) (err error) {
	// The mode is what the process's umask leaves of it, as for any new file.
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	lock := flock.New(temp, flock.SetFlag(os.O_RDWR)) // without O_CREATE: a file that was swept must not come back
	defer lock.Close()
	if locks {
		// Where the file system has no locks, nobody can sweep either.
		if locked, e := lock.TryLock(); errors.Is(e, fs.ErrNotExist) || e == nil && !locked {
			err = errSwept
		}
	}
	if err == nil {
		_, err = f.Write(data)
	}
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		if err = Rename(temp, path); errors.Is(err, fs.ErrNotExist) {
			err = errSwept
		}
	}
	if err != nil {
		os.Remove(temp)
	}
	return err
}

// sweepOf removes the hidden files of a path that no process writes. What cannot be
// removed stays for the next time.
func sweepOf(dir, name string) {
	entries, err := os.ReadDir(dir)
	if err != nil || !locks {
		return
	}
	for _, e := range entries {
		middle, ok := strings.CutPrefix(e.Name(), "."+name+".")
		if !ok || !hidden.MatchString(middle) || !e.Type().IsRegular() {
			continue
		}
		temp := filepath.Join(dir, e.Name())
		lock := flock.New(temp, flock.SetFlag(os.O_RDWR))
		if free, err := lock.TryLock(); err == nil && free {
			os.Remove(temp)
		}
		_ = lock.Close()
	}
}

// hidden is what follows a file's name in the hidden ones.
var hidden = regexp.MustCompile(`^[0-9]+-[0-9a-f]{8}\` + suffix + `$`)

// Sweep removes the hidden files that a killed Write left in dir. Nobody may be
// writing there.
func Sweep(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if n := e.Name(); strings.HasPrefix(n, ".") && strings.HasSuffix(n, suffix) && e.Type().IsRegular() {
			err = errors.Join(err, os.Remove(filepath.Join(dir, n)))
		}
	}
	return err
}
