package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// left lists what a command that was killed may leave for a moment, and no longer
// than until the next start: files and folders that are being written or removed,
// and the sign of life of a process that is gone.
func left(dir string) (names []string) {
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		n := e.Name()
		for _, beginning := range []string{".writing-", ".removing-", ".replaced-"} {
			if strings.HasPrefix(n, beginning) {
				names = append(names, path)
				return fs.SkipDir
			}
		}
		if strings.HasSuffix(n, ".tmp") || n == "alive.json" {
			names = append(names, path)
		}
		return nil
	})
	return names
}

// files lists the files of a folder that are no locks and are not left over.
func files(dir string) (names []string) {
	over := left(dir)
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if slices.Contains(over, path) && e.IsDir() {
			return fs.SkipDir
		}
		if err == nil && !e.IsDir() && e.Name() != ".lock" && !slices.Contains(over, path) {
			name, _ := filepath.Rel(dir, path)
			names = append(names, name)
		}
		return nil
	})
	return names
}

// sameFolder compares the files of a folder with those of the reference.
func sameFolder(got, want string) *failure {
	a, b := files(got), files(want)
	if !slices.Equal(a, b) {
		return failed(wrongResult, "%s holds %q, not %q", got, a, b)
	}
	return sameFiles(got, want, a...)
}

// sameFiles compares files byte for byte.
func sameFiles(got, want string, names ...string) *failure {
	for _, name := range names {
		a, err := os.ReadFile(filepath.Join(got, name))
		if err != nil {
			return failed(wrongResult, "%v", err)
		}
		b, err := os.ReadFile(filepath.Join(want, name))
		if err != nil {
			return failed(wrongResult, "%v", err)
		}
		if !bytes.Equal(a, b) {
			return failed(wrongResult, "%s is not what it is undisturbed (%d and %d bytes)", filepath.Join(got, name), len(a), len(b))
		}
	}
	return nil
}

// exists reports whether there is something at a path.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// entries is how many files and folders a folder holds.
func entries(dir string) int64 {
	list, _ := os.ReadDir(dir) // none, if it is not there
	return int64(len(list))
}

// space is what a folder takes on a file system in memory, in KiB.
func space(dir string) (used int) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil
		}
		if info, err := e.Info(); err == nil {
			used += 4 + int(info.Size()+4095)>>12<<2
		}
		return nil
	})
	return used
}
