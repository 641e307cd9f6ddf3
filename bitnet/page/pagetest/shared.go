//go:build !js

package pagetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// Shared is one browser for several tests, because a start takes seconds. It starts
// with the first tab. TestMain has to close it.
type Shared struct {
	// Flags are those of Chromium's command line in addition to the usual ones.
	Flags []string
	// Disk keeps what tabs store on the disk, as for a user's browser. Tabs of one
	// origin then share it; each server of a test has an origin of its own.
	Disk bool

	once  sync.Once
	ctx   context.Context
	err   error
	close []context.CancelFunc
}

// Open is a tab that has nothing of the others: no storage (but see Disk), no cache. It
// ends with the test, at the latest after the time given.
func (s *Shared) Open(t *testing.T, most time.Duration) *Browser {
	t.Helper()
	path := Chromium(t)
	s.once.Do(func() {
		ctx, cancel := chromedp.NewExecAllocator(context.Background(), options(path, s.Flags)...)
		s.close = append(s.close, cancel)
		ctx, cancel = chromedp.NewContext(ctx)
		s.close = append(s.close, cancel)
		s.ctx, s.err = ctx, chromedp.Do(ctx, chromedp.Navigate("about:blank"))
	})
	require.NoError(t, s.err, "starting Chromium")
	ctx, cancel := context.WithTimeout(s.ctx, most)
	t.Cleanup(cancel)
	var own []chromedp.ContextOption
	if !s.Disk {
		own = append(own, chromedp.WithNewBrowserContext())
	}
	ctx, cancel = chromedp.NewContext(ctx, own...)
	t.Cleanup(cancel)
	return watch(t, ctx)
}

// Close ends the browser, if it was started.
func (s *Shared) Close() {
	for i := len(s.close) - 1; i >= 0; i-- {
		s.close[i]()
	}
}
