// Package mapped reads files through the page cache: a file is mapped, never
// copied, so that its size costs no memory of this process. Where files cannot
// be mapped (GOOS=js), Open reads the whole file into memory instead.
package mapped

import (
	"errors"
	"fmt"
	"runtime/debug"

	"bitnet/data/plainfile"
)

// File is a file mapped for reading.
type File struct {
	path string
	data []byte
}

// Open maps the regular file at path. An empty file gives empty Bytes.
func Open(path string) (*File, error) {
	f, err := plainfile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close() // the mapping outlives the descriptor
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 {
		return &File{path: path}, nil
	}
	if int64(int(info.Size())) != info.Size() {
		return nil, fmt.Errorf("%s: %d bytes are too many for this machine's address space", path, info.Size())
	}
	data, err := mapFile(f, int(info.Size()))
	if err != nil {
		return nil, fmt.Errorf("mapping %s: %w", path, err)
	}
	return &File{path: path, data: data}, nil
}

// Path is the path that was opened.
func (f *File) Path() string { return f.path }

// Bytes is the content. It must not be written, nor read after Close. Defer
// Catch in a function that reads it: another process may truncate the file.
func (f *File) Bytes() []byte { return f.data }

// Close ends the mapping. Closing twice is fine.
func (f *File) Close() error {
	if f.data == nil {
		return nil
	}
	err := unmap(f.data)
	f.data = nil
	return err
}

// ErrCut says that a mapped file was truncated, or its disk failed, while it was
// read.
var ErrCut = errors.New("the file was cut or its disk failed while it was read")

// Catch turns the memory fault of such a read, which would end the process,
// into an error. Defer it at the start of the function that reads:
//
//	defer mapped.Catch(&err, path, debug.SetPanicOnFault(true))
func Catch(err *error, path string, before bool) {
	debug.SetPanicOnFault(before)
	switch r := recover().(type) {
	case nil:
	case interface {
		error
		Addr() uintptr
	}:
		*err = fmt.Errorf("%s: %w", path, ErrCut)
	default:
		panic(r)
	}
}
