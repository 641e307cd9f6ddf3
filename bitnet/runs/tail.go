package runs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
)

// maxLine bounds a line; a longer one is skipped as unreadable.
const maxLine = 16 << 20

// tail reads the lines of a file as they are written.
type tail struct {
	path   string
	offset int64 // behind the last whole line
	file   os.FileInfo
	skip   bool // in a line that is too long
}

// newTail follows the file at path, which need not be there yet.
func newTail(path string) *tail { return &tail{path: path} }

// poll gives every whole line that was written since the last call, without
// its line break. A line that is only half written is given when it is whole.
// If the file is another one, or shorter, than before, as when a resumed run
// cut its logs, reset is called and all of the file is given again.
func (t *tail) poll(reset func(), each func(line []byte)) error {
	f, err := os.Open(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		if t.file != nil {
			t.file, t.offset, t.skip = nil, 0, false
			reset()
		}
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	now, err := f.Stat()
	if err != nil {
		return err
	}
	if t.file != nil && (!os.SameFile(t.file, now) || now.Size() < t.offset) {
		t.offset, t.skip = 0, false
		reset()
	}
	t.file = now
	if now.Size() == t.offset {
		return nil
	}
	end, skip, err := lines(f, t.offset, now.Size(), t.skip, each)
	t.offset, t.skip = end, skip
	return err
}

// unread is the size of the file, and how much of it poll would read.
func (t *tail) unread() (size, unread int64) {
	now, err := os.Stat(t.path)
	switch {
	case err != nil:
		return 0, 0
	case t.file == nil || !os.SameFile(t.file, now) || now.Size() < t.offset:
		return now.Size(), now.Size()
	}
	return now.Size(), now.Size() - t.offset
}

// lines gives the whole lines of f that lie in [from, to). It returns where
// the last one ends, and whether that is in a line that is being skipped.
func lines(f io.ReaderAt, from, to int64, skip bool, each func([]byte)) (int64, bool, error) {
	buf := make([]byte, min(to-from, 1<<20))
	have := 0 // bytes of buf that hold an unfinished line
	for at := from; at < to; {
		if have == len(buf) {
			if have >= maxLine {
				have, skip, from = 0, true, at
			} else {
				buf = append(buf, make([]byte, len(buf))...)
			}
		}
		n, err := f.ReadAt(buf[have:min(int64(len(buf)), int64(have)+to-at)], at)
		at += int64(n)
		rest := buf[:have+n]
		for {
			i := bytes.IndexByte(rest, '\n')
			if i < 0 {
				break
			}
			from += int64(i) + 1
			if skip {
				skip = false
				each(nil)
			} else {
				each(rest[:i])
			}
			rest = rest[i+1:]
		}
		have = copy(buf, rest)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return from, skip, err
		}
	}
	if skip {
		from += int64(have) // no need to see it again
	}
	return from, skip, nil
}
