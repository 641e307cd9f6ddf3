package atomicfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/windows"
)

// patience is how long a file may stay open elsewhere: programs that index or scan files hold
// each for some milliseconds.
const patience = 2 * time.Second

// Rename is os.Rename that waits while another program has one of the files open.
func Rename(from, to string) error {
	return patiently(func() error { return os.Rename(from, to) })
}

// RemoveAll is os.RemoveAll that waits while another program has a file open.
func RemoveAll(path string) error {
	return patiently(func() error {
		err := os.RemoveAll(path)
		if errors.Is(err, windows.ERROR_INVALID_FUNCTION) { // POSIX deletion is unknown here, as to Wine 8
			return removeTree(path)
		}
		return err
	})
}

// InUse says whether an error is that another program has a file open, which keeps it from being
// renamed or removed.
func InUse(err error) bool {
	for _, code := range []error{windows.ERROR_SHARING_VIOLATION, windows.ERROR_LOCK_VIOLATION, windows.ERROR_ACCESS_DENIED,
		windows.ERROR_USER_MAPPED_FILE, windows.ERROR_DIR_NOT_EMPTY} {
		if errors.Is(err, code) {
			return true
		}
	}
	return false
}

// patiently repeats what fails because a file is open elsewhere.
func patiently(do func() error) error {
	began := time.Now()
	for wait := time.Millisecond; ; wait *= 2 {
		err := do()
		if err == nil || !InUse(err) || time.Since(began)+wait > patience {
			return err
		}
		time.Sleep(wait)
	}
}

// removeTree removes a folder from its leaves up, one plain call each.
func removeTree(path string) error {
	var all []string
	err := filepath.WalkDir(path, func(path string, _ fs.DirEntry, err error) error {
		if err == nil {
			all = append(all, path)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	slices.Reverse(all)
	for _, p := range all {
		if e := os.Remove(p); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}
