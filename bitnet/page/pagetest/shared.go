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
	once  sync.Once
	ctx   context.Context
	err   error
	close []context.CancelFunc
}

// Open is a tab that has nothing of the others: no storage, no cache. It ends with the
// test, at the latest after the time given.
func (s *Shared) Open(t *testing.T, most time.Duration) *Browser {
	t.Helper()
	path := Chromium(t)
	s.once.Do(func() {
		ctx, cancel := chromedp.NewExecAllocator(context.Background(), options(path, nil)...)
		s.close = append(s.close, cancel)
		ctx, cancel = chromedp.NewContext(ctx)
		s.close = append(s.close, cancel)
		s.ctx, s.err = ctx, chromedp.Do(ctx, chromedp.Navigate("about:blank"))
	})
	require.NoError(t, s.err, "starting Chromium")
	ctx, cancel := context.WithTimeout(s.ctx, most)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	return watch(t, ctx)
}

// Close ends the browser, if it was started.
func (s *Shared) Close() {
	for i := len(s.close) - 1; i >= 0; i-- {
		s.close[i]()
	}
}
