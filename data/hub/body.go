//go:build !js

package hub

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// body is what a request sends: size bytes of content from offset on, the same
// for every attempt.
type body struct {
	content      io.ReaderAt
	offset, size int64
	count        func(n int64) // gets the bytes as they leave, negative for ones that must leave again; may be nil

	mu      sync.Mutex
	current *sending
}

// attach makes the body that of a request. stop ends the request when the server
// stalls; the caller calls settled when the answer, or an error, is there.
func (b *body) attach(c *Client, req *http.Request, stop context.CancelCauseFunc) (settled func()) {
	req.ContentLength = b.size
	req.Body = http.NoBody
	if b.size > 0 {
		req.Body = b.begin(c, stop)
		req.GetBody = func() (io.ReadCloser, error) { return b.begin(c, stop), nil }
	}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		if b.current != nil {
			b.current.Close()
		}
	}
}

// begin starts to send from the beginning, and takes back what an attempt before
// has counted.
func (b *body) begin(c *Client, stop context.CancelCauseFunc) *sending {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.takeBack()
	s := &sending{r: io.NewSectionReader(b.content, b.offset, b.size), count: b.count, left: b.size}
	begun := time.Now()
	s.timer = time.AfterFunc(time.Hour, func() {
		if s.fresh.Swap(0) < leastPerStall {
			stop(errStall)
			return
		}
		if d := time.Since(begun); d >= c.Patience && s.sent.Load() < leastPerPatience {
			stop(fmt.Errorf("%w: it took %d bytes in %v", errSlow, s.sent.Load(), d.Round(time.Second)))
			return
		}
		s.timer.Reset(c.Stall)
	})
	s.timer.Reset(c.Stall)
	b.current = s
	return s
}

// failed takes back what was counted of a request that failed.
func (b *body) failed() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.takeBack()
}

func (b *body) takeBack() {
	if b.current == nil {
		return
	}
	b.current.Close()
	if n := b.current.sent.Load(); n > 0 && b.count != nil {
		b.count(-n)
	}
	b.current = nil
}

// sending is a body on its way.
type sending struct {
	r           io.Reader
	count       func(int64)
	left        int64 // only Read uses it
	sent, fresh atomic.Int64
	timer       *time.Timer
}

func (s *sending) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if n > 0 {
		s.sent.Add(int64(n))
		s.fresh.Add(int64(n))
		s.left -= int64(n)
		if s.count != nil {
			s.count(int64(n))
		}
	}
	if s.left <= 0 || err != nil {
		s.timer.Stop() // from here on, the time for the answer counts
	}
	if err == io.EOF && s.left > 0 {
		err = fmt.Errorf("the file is %d bytes shorter than it was", s.left)
	}
	return n, err
}

func (s *sending) Close() error {
	s.timer.Stop()
	return nil
}
