// Package disk says how much room there is for files.
package disk

import (
	"fmt"
	"os"
	"path/filepath"
)

// Nearest is path as an absolute one, or as much of it as is there already.
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

// Free is how many bytes are free for path, which need not be there yet, and
// the name of the disk that it lies on or will lie on.
func Free(path string) (bytes int64, disk string, err error) {
	if path, err = filepath.Abs(path); err != nil {
		return 0, "", err
	}
	path = Nearest(path)
	if bytes, disk, err = spaceAt(path); err != nil {
		return 0, "", fmt.Errorf("asking for the free space of %s: %w", path, err)
	}
	return bytes, disk, nil
}

// Size writes a number of bytes for people.
func Size(bytes int64) string {
	switch {
	case bytes >= 1e9:
		return fmt.Sprintf("%.1f GB", float64(bytes)/1e9)
	case bytes >= 1e6:
		return fmt.Sprintf("%.0f MB", float64(bytes)/1e6)
	}
	return fmt.Sprintf("%d kB", (bytes+999)/1000)
}
