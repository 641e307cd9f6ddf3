// Package atomicfile replaces files so that a reader, or a machine that loses
// power, finds the old file or the new one, and never a part of one.
package atomicfile

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
)

// suffix ends the names of files that are being written.
const suffix = ".tmp"

// Write replaces the file at path with data: it writes a hidden file of another
// name in the same folder, syncs it, renames it and syncs the folder. Several
// processes may write the same path; the last one wins. After an error path is
// as it was.
func Write(path string, data []byte) (err error) {
	dir, name := filepath.Split(path)
	// The mode is what the process's umask leaves of it, as for any new file.
	temp := fmt.Sprintf("%s.%s.%d-%08x%s", dir, name, os.Getpid(), rand.Uint32(), suffix)
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(temp, path)
	}
	if err != nil {
		os.Remove(temp)
		return err
	}
	return SyncDir(filepath.Dir(path))
}

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
