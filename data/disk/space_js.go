package disk

import "errors"

// spaceAt always fails: Go's js port has no call for the size of a disk.
func spaceAt(string) (free int64, disk string, err error) { return 0, "", errors.ErrUnsupported }
