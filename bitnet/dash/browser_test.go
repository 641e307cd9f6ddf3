//go:build !js

package dash_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"bitnet/bitnet/dash"
	"bitnet/bitnet/page/pagetest"
	"bitnet/bitnet/train"
	"bitnet/gpu"
)

// lossLabel is the page's summary of the first chart, in words.
const lossLabel = `document.querySelector('.chart .plot').getAttribute('aria-label')`

// lastStep is the last step that the first chart shows, -1 for none.
const lastStep = `Number((/ to step ([\d,]+)/.exec(` + lossLabel + `) ?? [0, '-1'])[1].replaceAll(',', ''))`

// The page shows a run while it trains, in a real browser.
func TestPageInChromium(t *testing.T) {
	pagetest.Chromium(t)
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
	b := pagetest.Open(t, 4*time.Minute)
	b.Do(chromedp.Navigate(server.URL))
	b.Wait("the page is live", `document.getElementById('live').dataset.state === 'live'`)

	// A hostile name is text, wherever it stands.
	b.Wait("the hostile run is listed by its name", `document.querySelector('#runs .name')?.textContent === `+pagetest.Quote(hostile))
	b.Wait("it has a card", `document.querySelector('.card h3')?.textContent === `+pagetest.Quote(hostile))
	b.Wait("its sample is text", `document.querySelector('.samples q')?.textContent === '<i>p</i><img src=x onerror=alert(3)>'`)
	require.Equal(t, 2, pagetest.Eval[int](b, `document.scripts.length`))
	require.Equal(t, 0, pagetest.Eval[int](b, `document.querySelectorAll('main img, nav img, i.x, b').length`))

	// A run that begins appears by itself, and its curves grow.
	c, err := train.Preset("simple")
	require.NoError(t, err)
	for _, s := range []string{"hidden_size=16", "intermediate_size=24", "num_attention_heads=2", "num_key_value_heads=1", "steps=100000",
		"batch_size=2", "seq_len=24", "log_interval=1", "eval_interval=20", "eval_samples=4", "sample_interval=20", "checkpoint_interval=0"} {
		require.NoError(t, c.Set(s))
	}
	ctx, stop := context.WithCancel(b.Context)
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
	b.Wait("the new run is shown", `document.querySelector('.card h3')?.textContent === 'real'`)
	b.Wait("it is running", `document.querySelector('.card .state').dataset.state === 'running'`)
	b.Wait("its curve begins", lastStep+` > 1`)
	before := pagetest.Eval[float64](b, lastStep)
	b.Wait("its curve grows", lastStep+fmt.Sprintf(` > %v`, before))
	drawn := `[...document.querySelector('.chart canvas').toDataURL()].reduce((a, c) => (a * 31 + c.charCodeAt(0)) % 1000003, 7)`
	pixels := pagetest.Eval[float64](b, drawn)
	b.Wait("what is drawn changes", drawn+fmt.Sprintf(` !== %v`, pixels))
	b.Wait("evaluations come", `/^\d/.test(document.querySelectorAll('.chart .now')[1].textContent)`)
	b.Wait("samples come", `document.querySelectorAll('.samples q').length >= 4`)
	b.Wait("the ternary weights are there", `document.querySelectorAll('.strip').length === 7 && !document.getElementById('ternary').hidden`)
	columns := `document.querySelector('.strip canvas').getAttribute('aria-label')`
	share := pagetest.Eval[string](b, columns)
	b.Wait("the ternary weights move on", columns+` !== `+pagetest.Quote(share))

	// Compare: both runs overlaid, with what differs in their configurations.
	b.Wait("the hostile run can be chosen as well", `(() => { const box = [...document.querySelectorAll('#runs input')].find((e) => e.getAttribute('aria-label').includes('alert')); if (!box.checked) box.click(); return true; })()`)
	b.Wait("both are in the chart", lossLabel+`.includes('real: from') && `+lossLabel+`.includes(`+pagetest.Quote(hostile+": from")+`)`)
	b.Wait("only what differs is listed", `(() => { const rows = [...document.querySelectorAll('#config tbody tr')].map((r) => [...r.cells].map((c) => c.textContent)); return rows.some((r) => r[0] === 'train.seed' && r.includes('42') && r.includes('7')) && rows.every((r) => r.slice(1).some((v) => v !== r[1])); })()`)
	b.Wait("the address names both", `new URLSearchParams(location.hash.slice(1)).getAll('run').length === 2`)

	// Zoom: by drag, wheel and keys; and back.
	b.Wait("there is something to zoom into", lastStep+` >= 40`)
	box := pagetest.Eval[[]float64](b, `(() => { const r = document.querySelector('.chart .plot').getBoundingClientRect(); return [r.left, r.top, r.width, r.height]; })()`)
	x, y := func(share float64) float64 { return box[0] + 54 + share*(box[2]-68) }, box[1]+box[3]/2
	mouse := func(kind input.DispatchMouseEventType, at float64) chromedp.Action[chromedp.Void] {
		return chromedp.MouseEvent(kind, at, y, chromedp.ButtonLeft)
	}
	span := `(() => { const m = /step ([\d,]+) to step ([\d,]+)/.exec(document.getElementById('range').textContent); return m ? m.slice(1).map((s) => Number(s.replaceAll(',', ''))) : [0, 0]; })()`
	b.Do(mouse(input.DispatchMouseEventTypeMouseMoved, x(0.2)), mouse(input.DispatchMouseEventTypeMousePressed, x(0.2)),
		mouse(input.DispatchMouseEventTypeMouseMoved, x(0.5)), mouse(input.DispatchMouseEventTypeMouseMoved, x(0.8)), mouse(input.DispatchMouseEventTypeMouseReleased, x(0.8)))
	b.Wait("a drag zooms", `!document.getElementById('reset').disabled`)
	dragged := pagetest.Eval[[]float64](b, span)
	require.Greater(t, dragged[0], 0.)
	require.Greater(t, dragged[1], dragged[0])
	b.Wait("the cursor tells values", `!document.querySelector('.chart .tip').hidden && document.querySelector('.chart .tip').textContent.includes('real')`)
	_, err = chromedp.Call(b.Context, input.DispatchMouseEvent, input.DispatchMouseEventParams{Type: input.DispatchMouseEventTypeMouseWheel, X: x(0.5), Y: y, DeltaX: 1, DeltaY: -120})
	require.NoError(t, err)
	b.Wait("the wheel zooms", fmt.Sprintf(`(() => { const s = %s; return s[1] - s[0] < %g; })()`, span, dragged[1]-dragged[0]))
	b.Do(chromedp.Evaluate[chromedp.Void](`document.querySelector('.chart .plot').focus()`))
	b.Do(chromedp.KeyEvent("0"))
	b.Wait("the key 0 shows everything", `document.getElementById('reset').disabled`)
	b.Do(chromedp.KeyEvent("+"))
	b.Wait("the key + zooms", `!document.getElementById('reset').disabled`)
	b.Do(chromedp.KeyEvent("t"))
	b.Wait("t shows the values as a table", `document.querySelector('.chart tbody')?.rows.length > 1`)
	b.Do(chromedp.KeyEvent("t"))
	b.Wait("Reset shows everything", `(document.getElementById('reset').click(), document.getElementById('reset').disabled)`)
	for _, axis := range []string{"tokens", "time", "step"} {
		b.Do(chromedp.KeyEvent("x"))
		b.Wait("x changes the axis", `document.getElementById('axis').value === `+pagetest.Quote(axis))
	}

	b.Do(chromedp.KeyEvent("?"))
	b.Wait("? lists the keys", `document.getElementById('help').open`)
	// Keys can be switched off but where a chart has the focus.
	b.Do(chromedp.Evaluate[chromedp.Void](`document.getElementById('keys-anywhere').click()`))
	b.Wait("and they can be put away", `(document.querySelector('#help button').click(), !document.getElementById('help').open)`)

	axis := `document.getElementById('axis').value`
	b.Do(chromedp.Evaluate[chromedp.Void](`document.activeElement.blur()`))
	b.Do(chromedp.KeyEvent("x"))
	require.Equal(t, "step", pagetest.Eval[string](b, axis), "x is switched off")
	b.Do(chromedp.Evaluate[chromedp.Void](`document.querySelector('.chart .plot').focus()`))
	b.Do(chromedp.KeyEvent("x"))
	require.Equal(t, "tokens", pagetest.Eval[string](b, axis), "in a chart it works")
	b.Do(chromedp.Evaluate[chromedp.Void](`document.getElementById('keys-anywhere').click()`))

	// Everything that can be used has a name.
	require.Greater(t, b.Named(), 20)

	// Dark and light, and a phone.
	background := `getComputedStyle(document.body).backgroundColor`
	first := pagetest.Eval[string](b, background)
	b.Do(chromedp.KeyEvent("d"))
	b.Wait("d switches between dark and light", background+` !== `+pagetest.Quote(first))
	b.Do(chromedp.EmulateViewport(360, 740, chromedp.EmulateMobile, chromedp.EmulateTouch))
	b.Wait("a phone does not scroll sideways", `document.documentElement.scrollWidth <= 360 && document.querySelector('.chart .plot').clientWidth > 250`)
	b.Do(chromedp.EmulateViewport(1280, 900))

	// A run that ends says so.
	stop()
	require.ErrorIs(t, <-done, context.Canceled)
	ended = true
	b.Wait("the run has ended", `[...document.querySelectorAll('.card')].some((c) => c.querySelector('h3').textContent === 'real' && c.querySelector('.state').dataset.state !== 'running')`)

	b.Clean(server.URL)
}
