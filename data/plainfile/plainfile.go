// Package plainfile opens files that must be files: a FIFO would block the
// program until somebody writes to it, and a device such as /dev/zero never
// ends.
package plainfile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// Open opens the regular file at path for reading. Errors do not repeat path.
func Open(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, cause(err)
	}
	if err := check(info.Mode()); err != nil {
		return nil, err
	}
	f, err := open(path)
	if err != nil {
		return nil, cause(err)
	}
	return f, nil
}

// Read reads the regular file at path, which may have at most limit bytes.
// Errors do not repeat path.
func Read(path string, limit int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, cause(err)
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("the file is larger than %s, the most that is read here", size(limit))
	}
	return b, nil
}

func size(n int64) string {
	if n%(1<<20) == 0 {
		return fmt.Sprintf("%d MiB", n>>20)
	}
	return fmt.Sprintf("%d bytes", n)
}

// ErrNotFile is what errors are about files that are a folder, a pipe, a device
// or a socket.
var ErrNotFile = errors.New("not a file")

// other says what a path is instead of a file.
type other string

func (o other) Error() string        { return string(o) }
func (o other) Is(target error) bool { return target == ErrNotFile }

func check(mode fs.FileMode) error {
	switch {
	case mode.IsRegular():
		return nil
	case mode.IsDir():
		return other("this is a folder, not a file")
	case mode&fs.ModeNamedPipe != 0:
		return other("this is a named pipe, not a file; write its content to a file first")
	}
	return other("this is a device or a socket, not a file")
}

// cause takes the path out of an error of package os.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
