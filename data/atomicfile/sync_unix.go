//go:build !windows

package atomicfile

import (
	"errors"
	"os"
)

// locks says whether a file that is being written can be locked.
const locks = true

// SyncDir makes renames in a folder survive a loss of power.
func SyncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
