package runs

import (
	"bytes"
	"errors"
	"io"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
)

// background is the reading of a long log of metrics. It leaves a processor to
// those who look at the curves.
type background struct {
	size int64
	read atomic.Int64 // bytes
	done chan readLog
}

// readLog is what a log holds up to its last line break at end.
type readLog struct {
	curves *Curves
	file   os.FileInfo
	end    int64
	before []byte // of the end, as in tail
	err    error
}

// oneAtATime is held while a log is read: several at once would take each
// other's processors and disk, and as many times the memory.
var oneAtATime sync.Mutex

// readInBackground begins to read the log at path, of size bytes.
func readInBackground(path string, size int64, limit int) *background {
	b := &background{size: size, done: make(chan readLog, 1)}
	go func() {
		oneAtATime.Lock()
		defer oneAtATime.Unlock()
		b.done <- readWhole(path, limit, &b.read)
	}()
	return b
}

// readWhole reads a log up to its last line break, and counts the bytes in read.
func readWhole(path string, limit int, read *atomic.Int64) (log readLog) {
	defer caught(&log.err)
	f, err := openFile(path)
	if err != nil {
		return readLog{err: err}
	}
	defer f.Close()
	if log.file, log.err = f.Stat(); log.err != nil {
		return log
	}
	if log.end, log.err = lastBreak(f, log.file.Size()); log.err != nil {
		return log
	}
	log.curves, log.err = readPart(&counted{f, read}, 0, log.end, limit, runtime.GOMAXPROCS(0)-1)
	var t tail
	t.at(f, log.end)
	log.before = t.before
	return log
}

// counted counts the bytes that are read.
type counted struct {
	io.ReaderAt
	n *atomic.Int64
}

func (c *counted) ReadAt(p []byte, at int64) (int, error) {
	n, err := c.ReaderAt.ReadAt(p, at)
	c.n.Add(int64(n))
	return n, err
}

// lastBreak is the offset behind the last line break before size.
func lastBreak(f io.ReaderAt, size int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for size > 0 {
		n := min(size, int64(len(buf)))
		if _, err := f.ReadAt(buf[:n], size-n); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			return size - n + int64(i) + 1, nil
		}
		size -= n
	}
	return 0, nil
}

// glance reads a few lines at each of some places of a log, and the last line:
// its shape in a moment, however long it is.
func glance(path string, size int64) (*Curves, error) {
	const places, window = 256, 16 << 10
	c := NewCurves(places)
	f, err := openFile(path)
	if err != nil {
		return c, err
	}
	defer f.Close()
	var v values
	buf := make([]byte, 2*window)
	part := size / places
	for i := range int64(places) {
		at := part * i
		if buf, err = wholeLines(f, at, at+min(part, window), 0, buf, func(_ int64, line []byte) { c.add(line, &v) }); err != nil {
			return c, err
		}
	}
	return c, backward(path, func(line []byte) bool { return !c.add(line, &v) })
}
