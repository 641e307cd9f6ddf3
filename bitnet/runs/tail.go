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
	offset int64  // behind the last whole line
	before []byte // the last bytes before offset, to see that the file is still the same
	file   os.FileInfo
	skip   bool // in a line that is too long
}

// newTail follows the file at path, which need not be there yet.
func newTail(path string) *tail { return &tail{path: path} }

// poll gives every whole line that was written since the last call, without
// its line break. A line that is only half written is given when it is whole.
// If the file is not what it was up to there, as when a resumed run cut its
// logs, reset is called and all of the file is given again.
func (t *tail) poll(reset func(), each func(line []byte)) error {
	f, err := openFile(t.path)
	if errors.Is(err, fs.ErrNotExist) {
		if t.file != nil {
			t.file, t.skip = nil, false
			t.at(nil, 0)
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
	if t.file != nil && (!os.SameFile(t.file, now) || !t.same(f)) {
		t.skip = false
		t.at(nil, 0)
		reset()
	}
	t.file = now
	if now.Size() == t.offset {
		return nil
	}
	end, skip, err := lines(f, t.offset, now.Size(), t.skip, each)
	t.at(f, end)
	t.skip = skip
	return err
}

// at moves to an offset of the file f.
func (t *tail) at(f io.ReaderAt, offset int64) {
	t.offset, t.before = offset, t.before[:0]
	if offset == 0 {
		return
	}
	t.before = append(t.before, make([]byte, min(offset, 128))...)
	if _, err := f.ReadAt(t.before, offset-int64(len(t.before))); err != nil {
		t.before = t.before[:0]
	}
}

// same says whether the file holds what it held before the offset: a log that
// was cut may have grown past it again.
func (t *tail) same(f io.ReaderAt) bool {
	now := make([]byte, len(t.before))
	n, _ := f.ReadAt(now, t.offset-int64(len(now)))
	return bytes.Equal(now[:n], t.before)
}

// unread is the size of the file, and how much of it poll would read.
func (t *tail) unread() (size, unread int64) {
	f, err := openFile(t.path)
	if err != nil {
		return 0, 0
	}
	defer f.Close()
	now, err := f.Stat()
	switch {
	case err != nil:
		return 0, 0
	case t.file == nil || !os.SameFile(t.file, now) || !t.same(f):
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
