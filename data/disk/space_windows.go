package disk

import (
	"path/filepath"

	"golang.org/x/sys/windows"
)

func spaceAt(path string) (free int64, disk string, err error) {
	p, err := windows.UTF16PtrFromString(path)
	if err != nil {
		return 0, "", err
	}
	var n uint64
	if err := windows.GetDiskFreeSpaceEx(p, &n, nil, nil); err != nil {
		return 0, "", err
	}
	return int64(min(n, 1<<62)), filepath.VolumeName(path), nil
}
