//go:build !js

package main

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"bitnet/bitnet/page"
	"bitnet/bitnet/page/pagetest"
	"bitnet/bitnet/web"
)

// scene is what the worker of testdata does: see its source.
type scene map[string]any

// servePage serves the page with the worker of testdata, which needs neither a
// GPU nor the program.
func servePage(t *testing.T, s scene) *httptest.Server {
	t.Helper()
	dir := t.TempDir()
	for _, from := range []fs.FS{page.Shared(), os.DirFS("page")} {
		require.NoError(t, os.CopyFS(dir, from))
	}
	worker, err := os.ReadFile(filepath.Join("testdata", "fake_worker.js"))
	require.NoError(t, err)
	text, err := json.Marshal(s)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "worker.js"), []byte("const SCENE = "+string(text)+";\n"+string(worker)), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, web.Program), nil, 0o600))
	h, err := web.Handler(dir)
	require.NoError(t, err)
	server := httptest.NewServer(h)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	return server
}

// pages is the browser for pages that need no GPU.
var pages pagetest.Shared

// sizes and themes in which pictures are taken and nothing may be cut off.
var looks = []struct {
	name          string
	width, height int64
	theme         string
}{{"1400-light", 1400, 900, "light"}, {"1400-dark", 1400, 900, "dark"}, {"390-light", 390, 844, "light"}, {"390-dark", 390, 844, "dark"}}

// look shows the page in every size and theme. Nothing may reach over the edge.
func look(t *testing.T, b *pagetest.Browser, name string) {
	t.Helper()
	for _, l := range looks {
		if l.width < 500 {
			b.Do(chromedp.EmulateViewport(l.width, l.height, chromedp.EmulateMobile, chromedp.EmulateTouch))
		} else {
			b.Do(chromedp.EmulateViewport(l.width, l.height))
		}
		b.Do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`document.documentElement.dataset.theme = %s, dispatchEvent(new Event('theme')), scrollTo(0, 0)`, pagetest.Quote(l.theme))))
		if pagetest.Shots() {
			time.Sleep(300 * time.Millisecond) // curves and transitions
		}
		b.Wait("nothing reaches over the edge at "+l.name, fmt.Sprintf(`document.documentElement.scrollWidth <= %d`, l.width))
		b.Shot(name + "-" + l.name)
	}
	b.Do(chromedp.EmulateViewport(1280, 900))
}

const ready = `document.getElementById('gpu').dataset.state === 'live'`

func click(b *pagetest.Browser, selector string) {
	b.Do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`document.querySelector(%s).click()`, pagetest.Quote(selector))))
}

// visit opens a view of the page.
func visit(b *pagetest.Browser, server *httptest.Server, view string) {
	b.Do(chromedp.Navigate("about:blank"), chromedp.Navigate(server.URL+"/#"+view))
}

// A game against the worker, by clicks and by keys.
func TestPlayPage(t *testing.T) {
	server := servePage(t, scene{"runs": true})
	b := pages.Open(t, 3*time.Minute)
	visit(b, server, "play")
	b.Wait("the program is ready", ready)
	b.Wait("it is the visitor's move", `document.getElementById('play-status').textContent === 'Your move: you play X.'`)
	b.Wait("each square says what the model thinks", `[...document.querySelectorAll('.square .share')].every((e) => /%$/.test(e.textContent))`)
	require.Regexp(t, `^square 5, empty, the model gives it \d+ %$`, pagetest.Eval[string](b, `document.querySelectorAll('.square')[4].getAttribute('aria-label')`))
	look(t, b, "play-begin")
	click(b, ".square:nth-child(1)")
	b.Wait("the model answers", `document.getElementById('play-status').textContent.startsWith('The model took square 5.')`)
	require.Equal(t, "X", pagetest.Eval[string](b, `document.querySelector('.square').dataset.mark`))
	look(t, b, "play-middle")

	// A square that is taken cannot be played.
	click(b, ".square:nth-child(5)")
	require.Equal(t, "O", pagetest.Eval[string](b, `document.querySelectorAll('.square')[4].dataset.mark`))
	require.Equal(t, 2, pagetest.Eval[int](b, `[...document.querySelectorAll('.square')].filter((e) => e.dataset.mark !== '.').length`))
	b.Do(chromedp.KeyEvent("4"))
	b.Wait("a digit plays", `document.querySelectorAll('.square')[3].dataset.mark === 'X'`)
	b.Wait("the model answers", `document.querySelectorAll('.square')[2].dataset.mark === 'O' && !!document.querySelector('.square[aria-disabled=false]')`)
	b.Do(chromedp.KeyEvent("u"))
	b.Wait("u takes back", `document.querySelectorAll('.square')[3].dataset.mark === '.' && !!document.querySelector('.square[aria-disabled=false]')`)
	b.Do(chromedp.KeyEvent("4"))
	b.Wait("again", `document.querySelectorAll('.square')[2].dataset.mark === 'O' && !!document.querySelector('.square[aria-disabled=false]')`)
	b.Do(chromedp.KeyEvent("7"))
	b.Wait("a full column wins", `document.getElementById('play-status').textContent === 'You win.'`)
	require.Equal(t, []string{"1", "0", "0"}, pagetest.Eval[[]string](b, `[...document.querySelectorAll('#tally dd')].map((e) => e.textContent)`))
	require.Equal(t, 3, pagetest.Eval[int](b, `document.querySelectorAll('.square.won').length`))
	look(t, b, "play-end")

	// As O the model begins.
	b.Do(chromedp.Evaluate[chromedp.Void](`document.querySelector('input[value=O]').click()`))
	b.Wait("the model begins", `document.getElementById('play-status').textContent.startsWith('The model took square')`)

	// Arrows move the focus on the board; everything has a name.
	b.Do(chromedp.Evaluate[chromedp.Void](`document.querySelectorAll('.square')[4].focus()`))
	b.Do(chromedp.KeyEvent("\uE012"))
	require.Greater(t, b.Named(), 20)
	b.Clean(server.URL)
}

// A training is started, followed, paused, resumed and downloaded.
func TestTrainPage(t *testing.T) {
	server := servePage(t, scene{"pace": 15, "problems": true})
	b := pages.Open(t, 4*time.Minute)
	visit(b, server, "train")
	b.Wait("it can be started", `!document.getElementById('start').disabled`)
	look(t, b, "train-empty")

	// A setting that is no number is refused next to it.
	b.Do(chromedp.Evaluate[chromedp.Void](`(() => { const i = document.querySelector('#settings input'); i.value = 'many'; i.dispatchEvent(new Event('input')); })()`))
	b.Wait("a mistake is said", `document.getElementById('new-error').textContent.includes('want a whole number') && document.getElementById('start').disabled`)
	b.Do(chromedp.Evaluate[chromedp.Void](`(() => { const i = document.querySelector('#settings input'); i.value = '200'; i.dispatchEvent(new Event('input')); })()`))
	click(b, "#start")
	b.Wait("it trains", `document.getElementById('run-state').textContent === 'running'`)
	const label = `document.querySelector('#charts .plot').getAttribute('aria-label')`
	b.Wait("the curve grows", `/to step [2-9]\d/.test(`+label+`)`)
	b.Wait("samples come", `document.querySelectorAll('#samples q').length >= 6`)
	b.Wait("the weights are drawn", `document.getElementById('weights-canvas').width === 96 && document.getElementById('weights-text').textContent.includes('changed')`)
	b.Wait("evaluations come", `document.getElementById('run-numbers').textContent.includes('validation loss')`)
	b.Do(chromedp.Evaluate[chromedp.Void](`document.activeElement.blur()`))
	b.Do(chromedp.KeyEvent(" "))
	b.Wait("a space pauses it", `document.getElementById('run-state').textContent === 'stopped' && !document.getElementById('resume').hidden`)
	require.Contains(t, pagetest.Eval[string](b, `document.getElementById('run-note').textContent`), "Paused at step")
	click(b, "#more-box summary")
	b.Wait("the other curves are drawn", `document.querySelectorAll('#more-charts .chart').length === 5 && [...document.querySelectorAll('#more-charts .plot')].every((e) => /lowest/.test(e.getAttribute('aria-label')))`)
	look(t, b, "train-paused")
	click(b, "#more-box summary")
	click(b, "#resume")
	b.Wait("it is running again", `document.getElementById('run-state').textContent === 'running'`)
	look(t, b, "train-running")
	b.Wait("it ends", `document.getElementById('run-state').textContent === 'finished'`)
	click(b, "#save")
	b.Wait("the dialog asks for a form", `document.getElementById('saving').open`)
	look(t, b, "train-download")
	require.Greater(t, b.Named(), 3)
	b.Do(chromedp.Evaluate[chromedp.Void](`document.getElementById('saving').close()`))
	require.Greater(t, b.Named(), 20)
	b.Clean(server.URL)
}

// What is kept is listed, with what can be done with it; a run that the closing of
// the page ended is offered to be resumed.
func TestKeptPage(t *testing.T) {
	server := servePage(t, scene{"runs": true, "problems": true})
	b := pages.Open(t, 3*time.Minute)
	visit(b, server, "train")
	b.Wait("the newest run is shown", `document.getElementById('run-name').textContent === 'text_20261128_1503' && !document.getElementById('resume').hidden`)
	require.Equal(t, "Resume at step 120", pagetest.Eval[string](b, `document.getElementById('resume').textContent`))
	require.Equal(t, 4, pagetest.Eval[int](b, `document.querySelectorAll('#kept li').length`))
	require.Contains(t, pagetest.Eval[string](b, `document.getElementById('problems').textContent`), "loss spike at step 90")
	b.Wait("the curve is drawn", `document.querySelector('#charts .plot')?.getAttribute('aria-label').includes('lowest')`)
	look(t, b, "train-kept")

	// Removing needs a second press.
	remove := `[...document.querySelectorAll('#kept li:last-child button')].find((e) => e.textContent.startsWith('Remove'))`
	b.Do(chromedp.Evaluate[chromedp.Void](remove + `.click()`))
	require.Equal(t, "Remove for good?", pagetest.Eval[string](b, remove+`.textContent`))
	require.Equal(t, 4, pagetest.Eval[int](b, `document.querySelectorAll('#kept li').length`))
	b.Do(chromedp.Evaluate[chromedp.Void](remove + `.click()`))
	b.Wait("then it is gone", `document.querySelectorAll('#kept li').length === 3`)

	// A text that is dropped is chosen for the training that reads it.
	b.Do(chromedp.Evaluate[chromedp.Void](`(() => {
		const d = new DataTransfer();
		d.items.add(new File(['once upon a time'], 'tale.txt'));
		document.getElementById('text-drop').dispatchEvent(new DragEvent('drop', { dataTransfer: d, bubbles: true, cancelable: true }));
	})()`))
	b.Wait("the text is chosen", `document.getElementById('text').value === 'tale' && document.querySelector('#experiments input:checked').value === 'text' && !document.getElementById('text-box').hidden && !document.getElementById('start').disabled`)
	look(t, b, "train-text")
	b.Clean(server.URL)
}

// An answer is streamed, stopped and continued; a base model continues a text.
func TestTalkPage(t *testing.T) {
	server := servePage(t, scene{"runs": true, "pace": 40})
	b := pages.Open(t, 3*time.Minute)
	visit(b, server, "talk")
	b.Wait("a model is open", `document.getElementById('talk-about').textContent.includes('base model')`)
	require.Equal(t, "Once upon a time", pagetest.Eval[string](b, `document.getElementById('say-text').value`))
	look(t, b, "talk-begin")
	click(b, "#talk-send")
	b.Wait("it writes", `document.querySelector('.bubble.busy')?.textContent.includes('small model')`)
	b.Do(chromedp.Evaluate[chromedp.Void](`document.activeElement.blur()`))
	b.Do(chromedp.KeyEvent("\u001b"))
	b.Wait("Escape stops it", `document.getElementById('talk-speed').textContent.includes('stopped by you')`)
	require.Equal(t, "Continue", pagetest.Eval[string](b, `document.getElementById('talk-send').textContent`))

	b.Do(chromedp.Evaluate[chromedp.Void](`(() => { const m = document.getElementById('talk-model'); m.value = 'llama-tiny'; m.dispatchEvent(new Event('change')); })()`))
	b.Wait("another model is open", `document.getElementById('talk-about').textContent.includes('chatml')`)
	b.Do(chromedp.Evaluate[chromedp.Void](`(() => { const s = document.getElementById('say-text'); s.value = 'Tell me a story.'; s.dispatchEvent(new Event('input')); s.focus(); })()`))
	b.Do(chromedp.KeyEvent("\r"))
	b.Wait("Enter sends", `document.querySelectorAll('.bubble.user').length === 1`)
	b.Wait("it answers", `document.getElementById('talk-speed').textContent.includes('48.7') || document.getElementById('talk-speed').textContent.includes('48.70')`)
	require.Contains(t, pagetest.Eval[string](b, `document.querySelector('.bubble.assistant').textContent`), "and slept.")
	click(b, "#sampling-box summary")
	look(t, b, "talk-answer")

	// A sampling value that means nothing is refused before it is sent.
	b.Do(chromedp.Evaluate[chromedp.Void](`(() => { const i = [...document.querySelectorAll('#sampling input')][0]; i.value = '-1'; i.dispatchEvent(new Event('input')); const s = document.getElementById('say-text'); s.value = 'more'; s.dispatchEvent(new Event('input')); document.getElementById('talk-send').click(); })()`))
	b.Wait("the mistake is said", `document.getElementById('talk-error').textContent.startsWith('temperature -1 is out of range')`)
	require.Equal(t, "more", pagetest.Eval[string](b, `document.getElementById('say-text').value`))
	require.Greater(t, b.Named(), 10)
	b.Clean(server.URL)
}

// All that a model, a file or a GPU's driver calls itself or writes is text.
func TestHostilePage(t *testing.T) {
	server := servePage(t, scene{"runs": true, "hostile": true, "pace": 5})
	b := pages.Open(t, 3*time.Minute)
	visit(b, server, "train")
	const hostile = `<script>alert(1)<!-- "><img src=x onerror=alert(2)>`
	b.Wait("a name is text", `document.getElementById('run-name').textContent === `+pagetest.Quote(hostile))
	b.Wait("samples are text", `document.querySelector('#samples q')?.textContent.includes('onerror')`)
	click(b, "#gpu")
	b.Wait("the GPU's name is text", `document.getElementById('about-table').textContent.includes('onerror')`)
	b.Do(chromedp.Evaluate[chromedp.Void](`document.getElementById('about').close()`))
	click(b, `.views a[href="#talk"]`)
	b.Wait("a model is open", `!document.getElementById('talk-send').disabled`)
	click(b, "#talk-send")
	b.Wait("its answer is text", `document.querySelector('.bubble')?.textContent.includes('javascript:alert(3)') && !document.querySelector('.bubble.busy')`)
	require.Equal(t, 2, pagetest.Eval[int](b, `document.scripts.length`))
	require.Equal(t, 0, pagetest.Eval[int](b, `document.querySelectorAll('main img, a[href^=javascript]').length`))
	look(t, b, "talk-hostile")
	b.Clean(server.URL)
}

// Figures come part by part, and the report can be copied.
func TestMeasurePage(t *testing.T) {
	server := servePage(t, scene{})
	b := pages.Open(t, 3*time.Minute)
	visit(b, server, "measure")
	b.Wait("it can be started", `!document.getElementById('measure-start').disabled`)
	look(t, b, "measure-begin")
	click(b, "#measure-start")
	b.Wait("the report comes", `!document.getElementById('report-box').hidden`)
	require.Equal(t, []string{"Peak", "Kernels of a step", "A training step", "Generation"}, pagetest.Eval[[]string](b, `[...document.querySelectorAll('#results h3')].map((e) => e.textContent)`))
	require.Contains(t, pagetest.Eval[string](b, `document.getElementById('report').textContent`), "GFLOP/s")
	require.Contains(t, pagetest.Eval[string](b, `document.getElementById('results').textContent`), "There was no time for more: 7 of 27 kernels")
	look(t, b, "measure-done")
	click(b, "#report-copy")
	b.Wait("it is copied or marked", `['Copied', 'Press Ctrl+C'].includes(document.getElementById('report-copy').textContent)`)

	// A stop keeps what was measured until then.
	click(b, "#measure-start")
	b.Wait("a part is there", `document.querySelectorAll('#results h3').length === 1`)
	click(b, "#measure-stop")
	b.Wait("it stops", `document.getElementById('measure-note').textContent.startsWith('Stopped')`)
	require.Greater(t, b.Named(), 8)
	b.Clean(server.URL)
}

// Whatever is missing or goes wrong is said in words that help, and nothing is lost.
func TestTroublePage(t *testing.T) {
	text := func(id string) string { return fmt.Sprintf(`document.getElementById('%s').textContent`, id) }
	for _, row := range []struct {
		name  string
		scene scene
		view  string
		do    string // JavaScript, once the page has come up
		want  string // JavaScript that becomes true
	}{
		{"loading", scene{"silent": true}, "play", ``, text("play-status") + ` === 'Loading the model…' && ` + text("gpu-text") + ` === 'starting'`},
		{"stalled", scene{"stalled": true}, "play", ``, text("trouble-text") + `.startsWith('For 32 seconds')`},
		{"nogpu-play", scene{"nogpu": true}, "play", ``, text("trouble-title") + `.includes('GPU') && document.querySelectorAll('#trouble-advice li').length > 0 && ` + text("play-status") + `.includes('needs a GPU')`},
		{"nogpu-train", scene{"nogpu": true, "runs": true}, "train", ``, `document.getElementById('start').disabled && document.querySelectorAll('#kept li').length === 4`},
		{"tab", scene{"failed": map[string]string{"kind": "tab", "text": "Another tab of this site holds the runs: close it, then try again."}}, "train", ``, text("trouble-title") + ` === 'This page is open in another tab'`},
		{"play-error", scene{"thinkFails": "the GPU is out of memory: close other tabs"}, "play", ``, text("play-status") + `.includes('out of memory')`},
		{"play-illegal", scene{"illegal": true}, "play", `document.querySelector('.square').click()`, text("play-status") + ` === 'The model chose square 1, which is taken: it loses.'`},
		{"train-error", scene{"trainFails": "the batch does not fit the GPU's memory: use batch_size 4"}, "train", `document.getElementById('start').click()`, text("new-error") + `.includes('does not fit')`},
		{"train-lost", scene{"lostAt": 30, "pace": 5}, "train", `document.getElementById('start').click()`, text("run-error") + `.includes('resume the run')`},
		{"train-crash", scene{"crashAt": 30, "pace": 5}, "train", `document.getElementById('start').click()`, text("trouble-text") + `.includes('out of memory') && !document.getElementById('trouble-again').hidden && ` + text("start") + ` === 'Start training'`},
		{"upload-error", scene{"uploadFails": "tale.txt is not text: it has bytes that are no UTF-8"}, "train", `(() => { const d = new DataTransfer(); d.items.add(new File(['x'], 'tale.txt')); document.getElementById('train').dispatchEvent(new DragEvent('drop', { dataTransfer: d, bubbles: true, cancelable: true })); })()`, text("upload-note") + `.includes('is not text')`},
		{"talk-empty", scene{}, "talk", ``, `!document.getElementById('talk-none').hidden && document.getElementById('talk-box').hidden`},
		{"talk-error", scene{"runs": true, "openFails": "model.safetensors is damaged: its header ends in the middle"}, "talk", ``, text("talk-error") + `.includes('is damaged')`},
		{"measure-error", scene{"measureFails": "a training is under way: pause it before"}, "measure", `document.getElementById('measure-start').click()`, text("measure-error") + `.includes('pause it')`},
		{"memory", scene{"memory": true, "runs": true}, "train", ``, text("storage") + ` === 'until a reload'`},
	} {
		t.Run(row.name, func(t *testing.T) {
			server := servePage(t, row.scene)
			b := pages.Open(t, time.Minute)
			visit(b, server, row.view)
			if row.do != "" {
				b.Wait("the program is ready", ready)
				b.Wait("it can be started", `!document.getElementById('start').disabled && (document.getElementById('play').hidden || !!document.querySelector('.square[aria-disabled=false]'))`)
				b.Do(chromedp.Evaluate[chromedp.Void](row.do))
			}
			b.Wait(row.want, row.want)
			look(t, b, "trouble-"+row.name)
			require.True(t, pagetest.Eval[bool](b, row.want), "it stays: %s", row.want)
			b.Clean(server.URL)
		})
	}
}

// Without WebGPU the page says which browser or flag helps, for the browser that shows it.
func TestAdvice(t *testing.T) {
	server := servePage(t, scene{})
	b := pages.Open(t, time.Minute)
	visit(b, server, "play")
	for _, row := range []struct {
		agent  string
		secure bool
		want   []string
	}{
		{"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36", true, []string{"chrome://flags/#enable-unsafe-webgpu"}},
		{"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/109.0.0.0 Safari/537.36", true, []string{"from version 113", "graphics acceleration"}},
		{"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", true, []string{"about:config", "dom.webgpu.enabled", "Chrome and Edge"}},
		{"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15", true, []string{"version 26"}},
		{"Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1", false, []string{"https", "ssh -L", "iOS 26"}},
	} {
		b.Do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`window.advised = undefined, import('./support.js').then((m) => { window.advised = m.advice(%s, %v, false).join('\n'); }), undefined`, pagetest.Quote(row.agent), row.secure)))
		b.Wait("there is advice", `window.advised !== undefined`)
		got := pagetest.Eval[string](b, `window.advised`)
		for _, w := range row.want {
			require.Contains(t, got, w)
		}
		require.Equal(t, row.secure, !strings.Contains(got, "plain http"))
	}
}
