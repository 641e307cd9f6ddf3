//go:build !windows

package atomicfile

import (
	"errors"
	"os"
)

// SyncDir makes renames in a folder survive a loss of power.
func SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
