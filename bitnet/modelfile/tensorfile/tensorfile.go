// Package tensorfile has what the file formats of tensors share: a file is
// opened only if it is a regular one, and written whole or not at all.
package tensorfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"

	"bitnet/data/plainfile"
)

// Open opens the file at path and gives its size; format is the name of what it
// should hold, suffix how such files end.
func Open(path, format, suffix string) (file *os.File, size int64, err error) {
	file, err = plainfile.Open(path)
	switch {
	case errors.Is(err, plainfile.ErrNotFile):
		return nil, 0, fmt.Errorf("%s: not a regular file; give the path of a %s file", path, suffix)
	case err != nil:
		return nil, 0, fmt.Errorf("opening a %s file: open %s: %w", format, path, err)
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, 0, fmt.Errorf("opening a %s file: %w", format, err)
	}
	return file, info.Size(), nil
}

// Create makes the file at path of what write gives, and syncs it. It writes
// straight to path: a caller that replaces a file does so by renaming. After
// an error there is no file.
func Create(path, format string, write func(io.Writer) error) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("writing a %s file: %w", format, err)
	}
	defer func() {
		if closing := file.Close(); err == nil {
			err = closing
		}
		if err != nil {
			os.Remove(path)
			err = fmt.Errorf("writing %s: %w", path, err)
		}
	}()
	w := bufio.NewWriterSize(file, 1<<20)
	if err := write(w); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	return file.Sync()
}

// WriteTensor lets data write the elements of a tensor, which must be size
// bytes; name is how errors call it.
func WriteTensor(w io.Writer, name string, size int64, data func(io.Writer) error) error {
	exact := exactWriter{w, size}
	if err := data(&exact); err != nil {
		return fmt.Errorf("tensor %s: %w", name, err)
	}
	if exact.left != 0 {
		return fmt.Errorf("tensor %s: %d of its %d bytes were not given: there are %d for %d", name, exact.left, size, size-exact.left, size)
	}
	return nil
}

// exactWriter refuses more bytes than are left.
type exactWriter struct {
	w    io.Writer
	left int64
}

func (e *exactWriter) Write(p []byte) (int, error) {
	if int64(len(p)) > e.left {
		return 0, fmt.Errorf("%d bytes more than its shape has room for were given", int64(len(p))-e.left)
	}
	n, err := e.w.Write(p)
	e.left -= int64(n)
	return n, err
}
