//go:build !windows && !js

package disk

import (
	"fmt"

	"golang.org/x/sys/unix"
)

func spaceAt(path string) (free int64, disk string, err error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return 0, "", err
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, "", err
	}
	return int64(uint64(fs.Bavail) * uint64(fs.Bsize)), fmt.Sprint(st.Dev), nil
}
