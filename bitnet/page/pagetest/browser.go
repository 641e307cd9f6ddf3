//go:build !js

package pagetest

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// Chromium is the path of a browser; the test is skipped where there is none.
func Chromium(t *testing.T) string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "headless-shell"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("no Chromium is installed: apt-get install chromium lets this test run")
	return ""
}

// Browser is a tab, and what must not happen in it.
type Browser struct {
	Context context.Context

	t        *testing.T
	mu       sync.Mutex
	console  []string // errors and warnings
	requests []string
}

// Open starts a browser with a tab. It ends with the test, at the latest after
// the time given. flags are those of Chromium's command line in addition to the
// usual ones: "use-webgpu-adapter=swiftshader".
func Open(t *testing.T, most time.Duration, flags ...string) *Browser {
	ctx, cancel := context.WithTimeout(context.Background(), most)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options(Chromium(t), flags)...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	return watch(t, ctx)
}

// options are those of the command line.
func options(path string, flags []string) []chromedp.ExecAllocatorOption {
	// The sandbox needs what containers do not give; this browser sees its own page alone.
	all := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox)
	for _, f := range flags {
		name, value, given := strings.Cut(f, "=")
		if given {
			all = append(all, chromedp.Flag(name, value))
		} else {
			all = append(all, chromedp.Flag(name, true))
		}
	}
	return all
}

// watch keeps what the tab of a context complains about and asks for.
func watch(t *testing.T, ctx context.Context) *Browser {
	b := &Browser{Context: ctx, t: t}
	b.Do(chromedp.EmulateViewport(1280, 900))
	_, err := chromedp.Call(ctx, network.Enable, network.EnableParams{})
	require.NoError(t, err)
	require.NoError(t, chromedp.Listen(ctx, func(event any) {
		if e, ok := event.(*network.EventRequestWillBeSent); ok {
			b.mu.Lock()
			b.requests = append(b.requests, e.Request.URL)
			b.mu.Unlock()
		}
	}))
	messages := chromedp.Console(ctx)
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			if m.IsException() || m.Type == "error" || m.Type == "warning" || m.Type == "assert" {
				b.mu.Lock()
				b.console = append(b.console, m.String())
				b.mu.Unlock()
			}
		}
	}()
	return b
}

// Do does steps in the tab.
func (b *Browser) Do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.Context, steps...))
}

// Eval gives the value of an expression in the page.
func Eval[T any](b *Browser, js string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.Context, chromedp.Evaluate[T](js))
	require.NoError(b.t, err)
	return v
}

// Wait waits until an expression in the page is true.
func (b *Browser) Wait(what, js string) {
	b.t.Helper()
	for {
		if v, err := chromedp.Run(b.Context, chromedp.Evaluate[bool](js)); err == nil && v {
			return
		}
		select {
		case <-b.Context.Done():
			b.mu.Lock()
			defer b.mu.Unlock()
			b.t.Fatalf("it never came to this: %s\n%s", what, strings.Join(b.console, "\n"))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Console are the errors and warnings so far.
func (b *Browser) Console() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.console)
}

// Asked requires that every address that was asked for begins with one of these.
func (b *Browser) Asked(prefixes ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	require.NotEmpty(b.t, b.requests)
	for _, url := range b.requests {
		require.True(b.t, slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(url, p) }), "a request to %s", url)
	}
}

// Clean requires that nothing was complained about in the console, and that
// nothing was asked of any server but the one at origin.
func (b *Browser) Clean(origin string) {
	b.t.Helper()
	require.Empty(b.t, b.Console())
	b.Asked(origin+"/", "blob:"+origin+"/")
}

// Named requires that everything that can be used has a name in the tree that
// screen readers see, and gives how many there are.
func (b *Browser) Named() int {
	b.t.Helper()
	tree, err := chromedp.Call(b.Context, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	require.NoError(b.t, err)
	named := 0
	for _, n := range tree.Nodes {
		if n.Ignored || n.Role == nil {
			continue
		}
		switch role := b.text(n.Role); role {
		case "button", "checkbox", "combobox", "searchbox", "slider", "application", "progressbar", "progressIndicator", "navigation",
			"DisclosureTriangle", "link", "radio", "radiogroup", "textbox", "log", "dialog", "image":
			require.NotEmpty(b.t, b.text(n.Name), "a %s has no name", role)
			named++
		}
	}
	return named
}

// text is a word of the accessibility tree, "" for none.
func (b *Browser) text(v *accessibility.Value) (s string) {
	if v != nil && len(v.Value) > 0 {
		require.NoError(b.t, json.Unmarshal(v.Value, &s))
	}
	return s
}

// Shot saves a picture of the whole page in the folder that the environment
// variable SCREENSHOTS names, for people to look at.
func (b *Browser) Shot(name string) {
	b.t.Helper()
	if !Shots() {
		return
	}
	picture, err := chromedp.Run(b.Context, chromedp.FullScreenshot(100))
	require.NoError(b.t, err)
	require.NoError(b.t, os.WriteFile(filepath.Join(os.Getenv("SCREENSHOTS"), name+".png"), picture, 0o644))
}

// Shots says whether Shot saves pictures.
func Shots() bool { return os.Getenv("SCREENSHOTS") != "" }

// Quote is a string of JavaScript.
func Quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err) // a string always is JSON
	}
	return string(text)
}
