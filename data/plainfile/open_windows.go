package plainfile

import (
	"os"

	"golang.org/x/sys/windows"
)

// longPath is about where paths need the prefix that os.Open adds.
const longPath = 240

// open opens a file so that other processes can still rename, replace and remove it: os.Open
// does not allow that, and a model that is open would keep its run from removing old checkpoints.
func open(path string) (*os.File, error) {
	name, err := windows.UTF16PtrFromString(path)
	if err != nil || len(path) > longPath {
		return os.Open(path)
	}
	h, err := windows.CreateFile(name, windows.GENERIC_READ,
		windows.FILE_SHARE_READ|windows.FILE_SHARE_WRITE|windows.FILE_SHARE_DELETE,
		nil, windows.OPEN_EXISTING, windows.FILE_ATTRIBUTE_NORMAL, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	return os.NewFile(uintptr(h), path), nil
}
