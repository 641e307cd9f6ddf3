//go:build !windows

package shard

import "os"

// syncFolder makes renames in a folder last over a loss of power.
func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
