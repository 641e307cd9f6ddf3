package runs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// backward gives the whole lines of a file from the last to the first, until
// each returns false. It reads no more than it must, and stops after 64 MiB.
// A file that is not there has no lines.
func backward(path string, each func(line []byte) bool) error {
	f, err := openFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	const block = 64 << 10
	var rest []byte // the beginning of it is not known to be a line's
	whole := false  // rest ends with a line break
	for at := info.Size(); at > 0; {
		n := min(at, block+int64(len(rest))/2)
		at -= n
		buf := make([]byte, n, int(n)+len(rest))
		if _, err := f.ReadAt(buf, at); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		rest = append(buf, rest...)
		if !whole {
			i := bytes.LastIndexByte(rest, '\n')
			if i < 0 && len(rest) < maxLine {
				continue
			}
			rest, whole = rest[:i+1], true
		}
		for {
			if len(rest) == 0 {
				break
			}
			i := bytes.LastIndexByte(rest[:len(rest)-1], '\n')
			if i < 0 {
				break
			}
			if !each(rest[i+1 : len(rest)-1]) {
				return nil
			}
			rest = rest[:i+1]
		}
		if info.Size()-at > 4*maxLine || len(rest) > maxLine {
			return nil
		}
	}
	if len(rest) > 0 && whole {
		each(rest[:len(rest)-1])
	}
	return nil
}

// chunk is how much of a file one worker takes at a time.
const chunk = 4 << 20

// ReadCurves reads the lines of a metrics file whose steps lie in from...to
// into at most limit points; to 0 means to the end. All processors read, each
// with a small buffer. Lines of the file have rising steps, so that only the
// part that matters is read. With keys the curves of others may be empty, which
// halves the time; the axes ByTokens and ByTime need TokensSeen and StepTimeMS.
// A file that is not there gives no points.
func ReadCurves(path string, from, to int64, limit int, keys ...Key) (*Curves, error) {
	f, err := openFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return NewCurves(limit), nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the metrics: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("reading the metrics: %w", err)
	}
	begin, end := int64(0), info.Size()
	if from > 0 {
		begin = seekStep(f, info.Size(), from)
	}
	if to > 0 && to < math.MaxInt64 {
		end = seekStep(f, info.Size(), to+1)
	}
	if end <= begin { // no line lies between such steps
		return NewCurves(limit), nil
	}
	return readPart(f, begin, end, limit, runtime.GOMAXPROCS(0), keys...)
}

// readPart reads the whole lines that begin in [begin, end) on at most so many
// processors; a line begins at begin.
func readPart(f io.ReaderAt, begin, end int64, limit, processors int, keys ...Key) (*Curves, error) {
	var want uint32
	for _, k := range keys {
		want |= 1<<k | 1<<stepKey
	}
	workers := int(max(1, min(int64(processors), (end-begin)/chunk)))
	parts := make([]*Curves, workers)
	errs := make([]error, workers)
	var next atomic.Int64
	next.Store(begin)
	var group sync.WaitGroup
	for w := range workers {
		c := NewCurves(limit)
		parts[w] = c
		group.Go(func() {
			defer caught(&errs[w])
			v := values{want: want}
			buf := make([]byte, min(end-begin+1, chunk+64<<10))
			for errs[w] == nil {
				at := next.Add(chunk) - chunk
				if at >= end {
					return
				}
				buf, errs[w] = wholeLines(f, at, min(at+chunk, end), begin, buf, func(_ int64, line []byte) { c.add(line, &v) })
			}
		})
	}
	group.Wait()
	for _, p := range parts[1:] {
		parts[0].join(p)
	}
	return parts[0], errors.Join(errs...)
}

// caught turns a panic of a goroutine into an error: a fault in reading one log
// must not end a server.
func caught(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("this is a fault of bitnet, please report it: %v\n%s", p, debug.Stack())
	}
}

// wholeLines gives the whole lines that begin in [at, to), of a part of a file
// that begins with a line at first. It uses buf, and returns it or a larger
// one to use next.
func wholeLines(f io.ReaderAt, at, to, first int64, buf []byte, each func(begin int64, line []byte)) ([]byte, error) {
	n, err := f.ReadAt(buf, max(at-1, first))
	if err != nil && !errors.Is(err, io.EOF) {
		return buf, err
	}
	text := buf[:n]
	if at > first {
		// A line that begins before at is another worker's.
		i := bytes.IndexByte(text, '\n')
		if i < 0 {
			return buf, nil
		}
		at += int64(i)
		text = text[i+1:]
	}
	for at < to {
		if i := bytes.IndexByte(text, '\n'); i >= 0 {
			each(at, text[:i])
			at += int64(i) + 1
			text = text[i+1:]
			continue
		}
		if len(text) == len(buf) {
			if len(buf) >= maxLine {
				each(at, nil)
				return buf, nil
			}
			buf = make([]byte, 2*len(buf))
		}
		if n, err = f.ReadAt(buf, at); err != nil && !errors.Is(err, io.EOF) {
			return buf, err
		}
		if n == len(text) {
			return buf, nil // the end of the file: a line half written
		}
		text = buf[:n]
	}
	return buf, nil
}

// seekStep is the offset of the first readable line whose step is not below
// the one given, in a file of rising steps; or the file's size.
func seekStep(f io.ReaderAt, size, step int64) int64 {
	low, high := int64(0), size
	for low < high {
		middle := low + (high-low)/2
		if _, s, ok := lineFrom(f, middle, size); ok && s < step {
			low = middle + 1
		} else {
			high = middle
		}
	}
	at, _, _ := lineFrom(f, low, size)
	return at
}

// lineFrom finds the first readable line that begins at or after an offset:
// where it begins and its step. Without one it gives the file's size.
func lineFrom(f io.ReaderAt, from, size int64) (at, step int64, ok bool) {
	const window = 64 << 10
	var v values
	buf := make([]byte, min(size, window))
	for from < size && !ok {
		var err error
		buf, err = wholeLines(f, from, min(from+window, size), 0, buf, func(begin int64, line []byte) {
			if !ok && scan(line, &v) {
				at, step, ok = begin, whole(v.num[stepKey]), true
			}
		})
		if err != nil {
			break
		}
		from += window
	}
	if !ok {
		at = size
	}
	return at, step, ok
}
