package text

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	"bitnet/data/plainfile"

	"github.com/klauspost/compress/gzip"
)

// stream is a file that may be compressed, read from its beginning.
type stream struct {
	*bufio.Reader
	file   io.Closer
	read   int64 // bytes of the file so far
	closer func()
	raw    *bufio.Reader
}

// buffers are kept for the next file: a corpus may consist of many small ones.
var buffers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, 128<<10) }}

// openStream opens a file; .gz and .zst are unpacked.
func openStream(ctx context.Context, path string) (*stream, error) {
	f, err := plainfile.Open(path)
	if err != nil {
		return nil, err
	}
	return newStream(ctx, f, path)
}

// newStream reads f, which it closes on an error, as its name says.
func newStream(ctx context.Context, f io.ReadCloser, name string) (*stream, error) {
	s := &stream{file: f, closer: func() {}}
	raw := buffers.Get().(*bufio.Reader)
	raw.Reset(counter{ctx, f, &s.read})
	s.raw = raw
	switch name = strings.ToLower(name); {
	case strings.HasSuffix(name, ".gz"):
		z, err := gzip.NewReader(raw)
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("gzip: %w", err)
		}
		s.Reader = bufio.NewReaderSize(z, 256<<10)
	case strings.HasSuffix(name, ".zst"), strings.HasSuffix(name, ".zstd"):
		z, done, err := unpackZstd(raw)
		if err != nil {
			s.Close()
			return nil, fmt.Errorf("zstd: %w", err)
		}
		s.closer = done
		s.Reader = bufio.NewReaderSize(z, 256<<10)
	default:
		s.Reader = raw
	}
	if head, _ := s.Peek(3); string(head) == "\xef\xbb\xbf" { // byte order mark
		s.Discard(3)
	}
	return s, nil
}

func (s *stream) Close() {
	s.closer()
	s.file.Close()
	s.raw.Reset(nil)
	buffers.Put(s.raw)
	s.raw = nil
}

// counter counts what is read, and ends when ctx ends.
type counter struct {
	ctx context.Context
	r   io.Reader
	n   *int64
}

func (c counter) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	*c.n += int64(n)
	return n, err
}
