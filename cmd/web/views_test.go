//go:build !js

package main

import (
	"encoding/base64"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/performance"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"bitnet/bitnet/page/pagetest"
	"bitnet/bitnet/web"
)

// watch counts frames and tasks that keep the page from drawing.
const watch = `(() => {
	window.gaps = []; window.long = [];
	let last = performance.now();
	const frame = (now) => { gaps.push(now - last); last = now; requestAnimationFrame(frame); };
	requestAnimationFrame(frame);
	new PerformanceObserver((list) => long.push(...list.getEntries().map((e) => e.duration))).observe({ type: 'longtask' });
	window.watched = performance.now();
})()`

// cpuTime is how many seconds the page's thread has computed.
func cpuTime(t *testing.T, b *pagetest.Browser) float64 {
	_, err := chromedp.Call(b.Context, performance.Enable, performance.EnableParams{})
	require.NoError(t, err)
	got, err := chromedp.Call(b.Context, performance.GetMetrics, cdp.Empty{})
	require.NoError(t, err)
	for _, m := range got.Metrics {
		if m.Name == "ThreadTime" {
			return m.Value
		}
	}
	t.Errorf("Chromium does not tell the time of a thread: %v", got.Metrics)
	return 0
}

// openPage serves what make web builds, with the real worker, and opens a view.
func openPage(t *testing.T, view string) (*pagetest.Browser, *httptest.Server) {
	t.Helper()
	if testing.Short() {
		t.Skip("it builds the browser version, which takes a minute")
	}
	pagetest.Chromium(t)
	wasBuilt = true
	dir, err := built()
	require.NoError(t, err)
	h, err := web.Handler(dir)
	require.NoError(t, err)
	server := httptest.NewServer(h)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	b := pagetest.Open(t, 5*time.Minute, swiftshader...)
	visit(b, server, view)
	b.Wait("the program is ready, or has no GPU", `document.getElementById('gpu').dataset.state !== 'loading'`)
	if pagetest.Eval[string](b, `document.getElementById('gpu-text').textContent`) == "no GPU" {
		t.Skip("Chromium has no WebGPU adapter here: ", pagetest.Eval[string](b, `document.getElementById('trouble-text').textContent`))
	}
	b.Wait("the program is ready", ready)
	return b, server
}

// The shipped model plays on the page, and never loses: here against one who takes
// the first free square.
func TestPlayInChromium(t *testing.T) {
	b, server := openPage(t, "play")
	paint := pagetest.Eval[float64](b, `performance.getEntriesByName('first-contentful-paint')[0].startTime`)
	started := pagetest.Eval[float64](b, `performance.getEntriesByName('bitnet-ready')[0].startTime`)
	t.Logf("first paint after %.0f ms, ready after %.0f ms", paint, started)
	const over = `document.getElementById('play-status').dataset.end !== ''`
	b.Wait("it is the visitor's move", `!!document.querySelector('.square[aria-disabled=false]')`)
	sum := pagetest.Eval[float64](b, `[...document.querySelectorAll('#thoughts .num')].reduce((a, e) => a + parseFloat(e.textContent), 0)`)
	require.InDelta(t, 100, sum, 5, "the squares' shares make up all")
	look(t, b, "real-play")
	for !pagetest.Eval[bool](b, over) {
		click(b, ".square[aria-disabled=false]")
		b.Wait("the model answers", over+` || !!document.querySelector('.square[aria-disabled=false]')`)
	}
	require.NotEqual(t, "won", pagetest.Eval[string](b, `document.getElementById('play-status').dataset.end`))
	require.Equal(t, "0", pagetest.Eval[string](b, `document.querySelector('#tally dd').textContent`))
	b.Clean(server.URL)
}

// A visitor trains, pauses, reloads, resumes, downloads and talks; the page keeps
// drawing meanwhile.
func TestTrainInChromium(t *testing.T) {
	b, server := openPage(t, "train")
	text := func(id string) string { return `document.getElementById('` + id + `').textContent` }
	b.Wait("it can be started", `!document.getElementById('start').disabled`)
	set := func(key, value string) {
		b.Do(chromedp.Evaluate[chromedp.Void](`(() => { const i = document.querySelector('#settings input[data-key$=` + key + `]'); i.value = '` + value + `'; i.dispatchEvent(new Event('input')); })()`))
	}
	set("steps", "80")
	b.Do(chromedp.Evaluate[chromedp.Void](watch))
	began := cpuTime(t, b)
	click(b, "#start")
	b.Wait("it trains", text("run-state")+` === 'running'`)
	const label = `document.querySelector('#charts .plot').getAttribute('aria-label')`
	b.Wait("the curve grows", `/to step [2-9]\d/.test(`+label+`)`)
	b.Wait("the weights are drawn", `!document.getElementById('weights').hidden && `+text("weights-text")+`.includes('+1')`)
	frames := pagetest.Eval[[]float64](b, `(() => {
		const sorted = gaps.slice(2).sort((a, b) => a - b), at = (p) => sorted[Math.floor(p * (sorted.length - 1))];
		return [sorted.length, at(0.5), at(0.95), at(1), long.reduce((a, b) => a + b, 0) / (performance.now() - watched)];
	})()`)
	t.Logf("%.0f frames while training, gaps of %.1f ms (median), %.1f ms (95 %%), %.1f ms (longest); %.1f %% of the time in tasks above 50 ms", frames[0], frames[1], frames[2], frames[3], 100*frames[4])
	// On a busy machine tasks take long and frames are left out because others run. What
	// the page's thread computes for a frame is the same, and may be a fifth of the
	// time that a frame has at 60 in a second.
	perFrame := 1000 * (cpuTime(t, b) - began) / frames[0]
	t.Logf("the page's thread computed %.2f ms per frame", perFrame)
	require.Less(t, perFrame, 0.2*1000/60, "the worker does the work: the page has the time to draw")
	b.Wait("there is a pause button", `!document.getElementById('pause').disabled`)
	click(b, "#pause")
	b.Wait("it pauses", text("run-state")+` === 'stopped'`)
	look(t, b, "real-train")
	name := pagetest.Eval[string](b, text("run-name"))
	step := pagetest.Eval[string](b, text("resume"))
	require.Regexp(t, `^Resume at step \d+$`, step)

	// After a reload everything is there, and it goes on from the checkpoint.
	b.Do(chromedp.Reload())
	b.Wait("the run is shown again", text("run-name")+` === `+pagetest.Quote(name)+` && `+text("resume")+` === `+pagetest.Quote(step))
	b.Wait("its curve, too", `document.querySelector('#charts .plot').getAttribute('aria-label').includes('lowest')`)
	click(b, "#resume")
	b.Wait("it ends", text("run-state")+` === 'finished'`)
	require.Contains(t, pagetest.Eval[string](b, text("run-step")), "step 80 of 80")
	b.Wait("samples came", `document.querySelectorAll('#samples q').length > 0`)

	// A download has a name and a size.
	click(b, "#save")
	click(b, "#saving button[value=folder]")
	b.Wait("the folder is downloaded", `/\.zip, .*B: see your downloads/.test(`+text("saving-note")+`)`)
	b.Do(chromedp.Evaluate[chromedp.Void](`document.getElementById('saving').close()`))

	// And one can talk to it.
	click(b, `.views a[href="#talk"]`)
	b.Wait("the model is open", `!document.getElementById('talk-send').disabled`)
	b.Do(chromedp.Evaluate[chromedp.Void](`(() => { const i = [...document.querySelectorAll('#sampling label')].find((l) => l.firstChild.textContent === 'most tokens').querySelector('input'); i.value = '12'; })()`))
	click(b, "#talk-send")
	b.Wait("it answers", `/tokens .*prompt of/.test(`+text("talk-speed")+`)`) // an answer of one token has no speed
	look(t, b, "real-talk")
	b.Clean(server.URL)
}

// The peak is measured, and the report names the GPU.
func TestMeasureInChromium(t *testing.T) {
	b, server := openPage(t, "measure")
	b.Wait("it can be started", `!document.getElementById('measure-start').disabled`)
	for _, other := range []string{"kernels", "step", "generate"} {
		click(b, "#whats input[value="+other+"]")
	}
	b.Do(chromedp.Evaluate[chromedp.Void](`document.getElementById('measure-seconds').value = '10'`))
	click(b, "#measure-start")
	b.Wait("it is measured", `!document.getElementById('report-box').hidden`)
	require.Contains(t, pagetest.Eval[string](b, `document.getElementById('report').textContent`), pagetest.Eval[string](b, `document.getElementById('gpu-text').textContent`))
	require.Contains(t, pagetest.Eval[string](b, `document.getElementById('results').textContent`), "GB/s")
	look(t, b, "real-measure")
	b.Clean(server.URL)
}

// What is dropped on the page is kept there: a text, on which a model can be trained
// with a tokenizer of its own, and the files of a model's folder, which plays.
func TestDropInChromium(t *testing.T) {
	b, server := openPage(t, "train")
	text := func(id string) string { return `document.getElementById('` + id + `').textContent` }
	b.Wait("it can be started", `!document.getElementById('start').disabled`)
	drop := func(view string, files map[string][]byte) {
		list := ""
		for name, data := range files {
			list += fmt.Sprintf("d.items.add(new File([Uint8Array.from(atob(%s), (c) => c.charCodeAt(0))], %s));", pagetest.Quote(base64.StdEncoding.EncodeToString(data)), pagetest.Quote(name))
		}
		b.Do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`(() => { const d = new DataTransfer(); %s document.getElementById('%s').dispatchEvent(new DragEvent('drop', { dataTransfer: d, bubbles: true, cancelable: true })); })()`, list, view)))
	}
	var story strings.Builder
	for i := range 200 {
		fmt.Fprintf(&story, "On day %d the cat sat on the mat. The dog ran after the cat, and both were happy. ", i)
	}
	drop("train", map[string][]byte{"tale.txt": []byte(story.String())})
	b.Wait("the text is kept and chosen", `document.querySelector('#experiments input:checked')?.value === 'text' && document.getElementById('text').value === 'tale' && !document.getElementById('start').disabled`)
	for key, value := range map[string]string{"steps": "3", "batch_size": "2", "hidden_size": "32", "intermediate_size": "48", "num_hidden_layers": "1", "seq_len": "32", "vocab_size": "300"} {
		b.Do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`(() => { const i = document.querySelector('#settings input[data-key$=%s]'); i.value = '%s'; i.dispatchEvent(new Event('input')); })()`, key, value)))
	}
	click(b, "#start")
	b.Wait("it ends", text("run-state")+` === 'finished' || `+text("new-error")+` !== ''`)
	require.Empty(t, pagetest.Eval[string](b, text("new-error")))
	b.Wait("samples came", `document.querySelectorAll('#samples q').length > 0`)

	model := map[string][]byte{}
	for _, name := range []string{"config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"} {
		data, err := os.ReadFile(filepath.Join("..", "..", "testdata", "tictactoe", name))
		require.NoError(t, err)
		model[name] = data
	}
	drop("train", model)
	b.Wait("the model is kept", `[...document.querySelectorAll('#kept li')].length === 3`)
	click(b, `.views a[href="#talk"]`)
	b.Wait("one can talk to it", `document.querySelectorAll('#talk-model option').length === 2 && !document.getElementById('talk-send').disabled`)
	b.Clean(server.URL)
}
