//go:build !js

package dash_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"bitnet/bitnet/dash"
	"bitnet/bitnet/train"
	"bitnet/gpu"
)

func chromium(t *testing.T) string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "headless-shell"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("no Chromium is installed: apt-get install chromium lets this test run")
	return ""
}

// browser is a tab, and what must not happen in it.
type browser struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	console  []string // errors and warnings
	requests []string
}

func open(t *testing.T) *browser {
	path := chromium(t)
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Minute)
	t.Cleanup(cancel)
	// The sandbox needs what containers do not give; this browser sees its own page alone.
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	b := &browser{t: t, ctx: ctx}
	b.do(chromedp.EmulateViewport(1280, 900))
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

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	require.NoError(b.t, chromedp.Do(b.ctx, steps...))
}

// eval gives the value of an expression in the page.
func eval[T any](b *browser, js string) T {
	b.t.Helper()
	v, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](js))
	require.NoError(b.t, err)
	return v
}

// wait waits until an expression in the page is true.
func (b *browser) wait(what, js string) {
	b.t.Helper()
	for {
		if v, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](js)); err == nil && v {
			return
		}
		select {
		case <-b.ctx.Done():
			b.t.Fatalf("it never came to this: %s\n%s", what, strings.Join(b.console, "\n"))
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func quote(s string) string {
	text, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// text is a word of the accessibility tree, "" for none.
func text(t *testing.T, v *accessibility.Value) (s string) {
	if v != nil && len(v.Value) > 0 {
		require.NoError(t, json.Unmarshal(v.Value, &s))
	}
	return s
}

// lossLabel is the page's summary of the first chart, in words.
const lossLabel = `document.querySelector('.chart .plot').getAttribute('aria-label')`

// lastStep is the last step that the first chart shows, -1 for none.
const lastStep = `Number((/ to step ([\d,]+)/.exec(` + lossLabel + `) ?? [0, '-1'])[1].replaceAll(',', ''))`

// The page shows a run while it trains, in a real browser.
func TestPageInChromium(t *testing.T) {
	chromium(t)
	dev, err := gpu.Open("")
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(dev.Close)

	// hostile has a name of markup and a text of markup among its samples.
	const hostile = `<script>alert(1)<!-- "><img src=x onerror=alert(2)>`
	root := t.TempDir()
	logs := filepath.Join(root, hostile, "logs")
	require.NoError(t, os.MkdirAll(logs, 0o755))
	for name, text := range map[string]string{
		"../config.yaml": "name: '<b>x</b>'\ntrain: {steps: 50, seed: 7}\n",
		"metrics.jsonl":  `{"step":10,"loss":2.5,"loss_mean":2.5,"lr":1e-3,"grad_norm":1,"step_time_ms":5,"tokens_per_sec":10,"tokens_seen":100}` + "\n" + `{"step":20,"loss":1.5,"loss_mean":1.5,"tokens_seen":200,"step_time_ms":5}` + "\n",
		"samples.jsonl":  `{"step":20,"mode":"greedy","prompt":"<i>p</i>","text":"<img src=x onerror=alert(3)>"}` + "\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(logs, name), []byte(text), 0o644))
	}
	server := httptest.NewServer(dash.Handler(root))
	t.Cleanup(server.Close)
	b := open(t)
	b.do(chromedp.Navigate(server.URL))
	b.wait("the page is live", `document.getElementById('live').dataset.state === 'live'`)

	// A hostile name is text, wherever it stands.
	b.wait("the hostile run is listed by its name", `document.querySelector('#runs .name')?.textContent === `+quote(hostile))
	b.wait("it has a card", `document.querySelector('.card h3')?.textContent === `+quote(hostile))
	b.wait("its sample is text", `document.querySelector('.samples q')?.textContent === '<i>p</i><img src=x onerror=alert(3)>'`)
	require.Equal(t, 2, eval[int](b, `document.scripts.length`))
	require.Equal(t, 0, eval[int](b, `document.querySelectorAll('main img, nav img, i.x, b').length`))

	// A run that begins appears by itself, and its curves grow.
	c, err := train.Preset("simple")
	require.NoError(t, err)
	for _, s := range []string{"hidden_size=16", "intermediate_size=24", "num_attention_heads=2", "num_key_value_heads=1", "steps=100000",
		"batch_size=2", "seq_len=24", "log_interval=1", "eval_interval=20", "eval_samples=4", "sample_interval=20", "checkpoint_interval=0"} {
		require.NoError(t, c.Set(s))
	}
	ctx, stop := context.WithCancel(b.ctx)
	defer stop()
	job, err := train.Prepare(ctx, c, train.Start{RunsDir: root, RunID: "real"}, train.Events{})
	require.NoError(t, err)
	trainer, err := job.Begin(ctx, dev)
	require.NoError(t, err)
	done := make(chan error, 1)
	go func() {
		err := trainer.Train(ctx)
		trainer.Close()
		done <- err
	}()
	ended := false
	defer func() {
		stop()
		if !ended {
			<-done
		}
	}()
	b.wait("the new run is shown", `document.querySelector('.card h3')?.textContent === 'real'`)
	b.wait("it is running", `document.querySelector('.card .state').dataset.state === 'running'`)
	b.wait("its curve begins", lastStep+` > 1`)
	before := eval[float64](b, lastStep)
	b.wait("its curve grows", lastStep+fmt.Sprintf(` > %v`, before))
	drawn := `[...document.querySelector('.chart canvas').toDataURL()].reduce((a, c) => (a * 31 + c.charCodeAt(0)) % 1000003, 7)`
	pixels := eval[float64](b, drawn)
	b.wait("what is drawn changes", drawn+fmt.Sprintf(` !== %v`, pixels))
	b.wait("evaluations come", `/^\d/.test(document.querySelectorAll('.chart .now')[1].textContent)`)
	b.wait("samples come", `document.querySelectorAll('.samples q').length >= 4`)
	b.wait("the ternary weights are there", `document.querySelectorAll('.strip').length === 7 && !document.getElementById('ternary').hidden`)
	columns := `document.querySelector('.strip canvas').getAttribute('aria-label')`
	share := eval[string](b, columns)
	b.wait("the ternary weights move on", columns+` !== `+quote(share))

	// Compare: both runs overlaid, with what differs in their configurations.
	b.wait("the hostile run can be chosen as well", `(() => { const box = [...document.querySelectorAll('#runs input')].find((e) => e.getAttribute('aria-label').includes('alert')); if (!box.checked) box.click(); return true; })()`)
	b.wait("both are in the chart", lossLabel+`.includes('real: from') && `+lossLabel+`.includes(`+quote(hostile+": from")+`)`)
	b.wait("only what differs is listed", `(() => { const rows = [...document.querySelectorAll('#config tbody tr')].map((r) => [...r.cells].map((c) => c.textContent)); return rows.some((r) => r[0] === 'train.seed' && r.includes('42') && r.includes('7')) && rows.every((r) => r.slice(1).some((v) => v !== r[1])); })()`)
	b.wait("the address names both", `new URLSearchParams(location.hash.slice(1)).getAll('run').length === 2`)

	// Zoom: by drag, wheel and keys; and back.
	b.wait("there is something to zoom into", lastStep+` >= 40`)
	box := eval[[]float64](b, `(() => { const r = document.querySelector('.chart .plot').getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; })()`)
	x, y := func(share float64) float64 { return box[0] + 54 + share*(box[2]-68) }, box[1]+box[3]/2
	mouse := func(kind input.DispatchMouseEventType, at float64) chromedp.Action[chromedp.Void] {
		return chromedp.MouseEvent(kind, at, y, chromedp.ButtonLeft)
	}
	span := `(() => { const m = /step ([\d,]+) to step ([\d,]+)/.exec(document.getElementById('range').textContent); return m ? m.slice(1).map((s) => Number(s.replaceAll(',', ''))) : [0, 0]; })()`
	b.do(mouse(input.DispatchMouseEventTypeMouseMoved, x(0.2)), mouse(input.DispatchMouseEventTypeMousePressed, x(0.2)),
		mouse(input.DispatchMouseEventTypeMouseMoved, x(0.5)), mouse(input.DispatchMouseEventTypeMouseMoved, x(0.8)), mouse(input.DispatchMouseEventTypeMouseReleased, x(0.8)))
	b.wait("a drag zooms", `!document.getElementById('reset').disabled`)
	dragged := eval[[]float64](b, span)
	require.Greater(t, dragged[0], 0.)
	require.Greater(t, dragged[1], dragged[0])
	b.wait("the cursor tells values", `!document.querySelector('.chart .tip').hidden && document.querySelector('.chart .tip').textContent.includes('real')`)
	_, err = chromedp.Call(b.ctx, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: input.DispatchMouseEventTypeMouseWheel, X: x(0.5), Y: y, DeltaX: 1, DeltaY: -120})
	require.NoError(t, err)
	b.wait("the wheel zooms", fmt.Sprintf(`(() => { const s = %s; return s[1] - s[0] < %g; })()`, span, dragged[1]-dragged[0]))
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector('.chart .plot').focus()`))
	b.do(chromedp.KeyEvent("0"))
	b.wait("the key 0 shows everything", `document.getElementById('reset').disabled`)
	b.do(chromedp.KeyEvent("+"))
	b.wait("the key + zooms", `!document.getElementById('reset').disabled`)
	b.do(chromedp.KeyEvent("t"))
	b.wait("t shows the values as a table", `document.querySelector('.chart tbody')?.rows.length > 1`)
	b.do(chromedp.KeyEvent("t"))
	b.wait("Reset shows everything", `(document.getElementById('reset').click(), document.getElementById('reset').disabled)`)
	for _, axis := range []string{"tokens", "time", "step"} {
		b.do(chromedp.KeyEvent("x"))
		b.wait("x changes the axis", `document.getElementById('axis').value === `+quote(axis))
	}

	b.do(chromedp.KeyEvent("?"))
	b.wait("? lists the keys", `document.getElementById('help').open`)
	// Keys can be switched off but where a chart has the focus.
	b.do(chromedp.Evaluate[chromedp.Void](`document.getElementById('keys-anywhere').click()`))
	b.wait("and they can be put away", `(document.querySelector('#help button').click(), !document.getElementById('help').open)`)

	axis := `document.getElementById('axis').value`
	b.do(chromedp.Evaluate[chromedp.Void](`document.activeElement.blur()`))
	b.do(chromedp.KeyEvent("x"))
	require.Equal(t, "step", eval[string](b, axis), "x is switched off")
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector('.chart .plot').focus()`))
	b.do(chromedp.KeyEvent("x"))
	require.Equal(t, "tokens", eval[string](b, axis), "in a chart it works")
	b.do(chromedp.Evaluate[chromedp.Void](`document.getElementById('keys-anywhere').click()`))

	// Everything that can be used has a name.
	tree, err := chromedp.Call(b.ctx, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
	require.NoError(t, err)
	named := 0
	for _, n := range tree.Nodes {
		if n.Ignored || n.Role == nil {
			continue
		}
		switch role := text(t, n.Role); role {
		case "button", "checkbox", "combobox", "searchbox", "slider", "application", "progressbar", "progressIndicator", "navigation", "DisclosureTriangle":
			require.NotEmpty(t, text(t, n.Name), "a %s has no name", role)
			named++
		}
	}
	require.Greater(t, named, 20)

	// Dark and light, and a phone.
	background := `getComputedStyle(document.body).backgroundColor`
	first := eval[string](b, background)
	b.do(chromedp.KeyEvent("d"))
	b.wait("d switches between dark and light", background+` !== `+quote(first))
	b.do(chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile, chromedp.EmulateTouch))
	b.wait("a phone does not scroll sideways", `document.documentElement.scrollWidth <= 360 && document.querySelector('.chart .plot').clientWidth > 250`)
	b.do(chromedp.EmulateViewport(1280, 900))

	// A run that ends says so.
	stop()
	require.ErrorIs(t, <-done, context.Canceled)
	ended = true
	b.wait("the run has ended", `[...document.querySelectorAll('.card')].some((c) => c.querySelector('h3').textContent === 'real' && c.querySelector('.state').dataset.state !== 'running')`)

	b.mu.Lock()
	defer b.mu.Unlock()
	require.Empty(t, b.console)
	require.NotEmpty(t, b.requests)
	for _, url := range b.requests {
		require.True(t, strings.HasPrefix(url, server.URL+"/"), "a request to %s", url)
	}
}
