// Package disk says how much room there is for files.
package disk

import (
	"fmt"
	"os"
	"path/filepath"
)

// Nearest is the absolute form of path, or of its nearest parent that exists.
func Nearest(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

// Free is how many bytes are free on the disk of path, and the name of that
// disk. The path need not exist yet. Where the system does not tell (GOOS=js),
// the error is errors.ErrUnsupported.
func Free(path string) (bytes int64, disk string, err error) {
	if path, err = filepath.Abs(path); err != nil {
		return 0, "", err
	}
	path = Nearest(path)
	if bytes, disk, err = spaceAt(path); err != nil {
		return 0, "", fmt.Errorf("find the free space of %s: %w", path, err)
	}
	return bytes, disk, nil
}

// Size formats a number of bytes for people, in binary units.
func Size(bytes int64) string {
	switch {
	case bytes >= 1<<30:
		return fmt.Sprintf("%.1f GiB", float64(bytes)/(1<<30))
	case bytes >= 1<<20:
		return fmt.Sprintf("%.0f MiB", float64(bytes)/(1<<20))
	}
	return fmt.Sprintf("%d KiB", (bytes+1023)/1024)
}
