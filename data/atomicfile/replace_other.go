//go:build !windows

package atomicfile

import "os"

// Rename is os.Rename. On Windows it waits for up to two seconds while another program has one
// of the files open.
func Rename(from, to string) error { return os.Rename(from, to) }

// RemoveAll is os.RemoveAll. On Windows it waits like Rename.
func RemoveAll(path string) error { return os.RemoveAll(path) }

// InUse says whether an error is that another program has a file open, which keeps it from being
// renamed or removed. That happens on Windows only.
func InUse(error) bool { return false }
