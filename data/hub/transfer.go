//go:build !js

package hub

import (
	"context"
	"sync/atomic"

	"bitnet/data/meter"
)

// Transfer is the download of many files of a snapshot, several at a time and
// begun in their order, so that the first can be used while the others arrive.
type Transfer struct {
	files []File
	paths []string
	errs  []error
	done  []chan struct{}
	ready atomic.Int64
	meter *meter.Meter
}

// Start downloads files in the background, parallel at a time, until ctx ends.
// An error of one file does not stop the others.
func (c *Client) Start(ctx context.Context, s *Snapshot, files []File, parallel int) *Transfer {
	t := &Transfer{
		files: files,
		paths: make([]string, len(files)),
		errs:  make([]error, len(files)),
		done:  make([]chan struct{}, len(files)),
		meter: meter.New(total(files)),
	}
	for i := range files {
		t.done[i] = make(chan struct{})
	}
	count := func(n int64, fresh bool) {
		if fresh {
			t.meter.Add(n)
		} else {
			t.meter.Skip(n)
		}
	}
	var next atomic.Int64
	for range min(max(parallel, 1), len(files)) {
		go func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(files) {
					return
				}
				t.paths[i], t.errs[i] = c.Download(ctx, s, files[i], count)
				if t.errs[i] == nil {
					t.ready.Add(1)
				}
				close(t.done[i])
			}
		}()
	}
	return t
}

// total is the size of files, or 0 if the listing does not say it.
func total(files []File) int64 {
	var sum int64
	for _, f := range files {
		if f.Size < 0 {
			return 0
		}
		sum += f.Size
	}
	return sum
}

// Wait gives the path of file i in the cache as soon as it is complete.
func (t *Transfer) Wait(ctx context.Context, i int) (string, error) {
	select {
	case <-t.done[i]:
		return t.paths[i], t.errs[i]
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

// Progress is the state of the transfer in bytes, and how many files are complete.
func (t *Transfer) Progress() (bytes meter.Reading, files int) {
	return t.meter.Read(), int(t.ready.Load())
}
