//go:build !js

package main

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"bitnet/bitnet/page/pagetest"
	"bitnet/bitnet/web"
)

// built is the folder of the browser version, which is built once for all tests, or
// copied from the folder that BITNET_WEB names.
var built = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "bitnet-web-test-")
	if err != nil {
		return "", err
	}
	out := filepath.Join(dir, "web")
	if from := os.Getenv("BITNET_WEB"); from != "" {
		return out, os.CopyFS(out, os.DirFS(from))
	}
	build := exec.Command("go", "run", "./cmd/web/bundle", "-fast", "-o", out)
	build.Dir = filepath.Join("..", "..")
	if text, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the browser version: %w\n%s", err, text)
	}
	return out, nil
})

func TestMain(m *testing.M) {
	code := m.Run()
	pages.Close()
	if wasBuilt {
		if dir, err := built(); err == nil {
			os.RemoveAll(filepath.Dir(dir))
		}
	}
	os.Exit(code)
}

var wasBuilt bool

// blank is a page of the origin that only starts the worker when it is told to,
// and keeps what the worker says.
const blank = `<!doctype html><meta charset="utf-8"><title>test</title><link rel="icon" href="icon.svg"><script src="blank.js"></script>`

const blankScript = `'use strict';
const policy = trustedTypes.createPolicy('bitnet', { createScriptURL: (url) => url });
const answers = {}, said = [];
let next = 1, worker, trigger = null;
function start() {
	said.length = 0;
	worker = new Worker(policy.createScriptURL('worker.js'));
	worker.onmessage = ({ data }) => {
		if (data.event) said.push(data);
		else answers[data.id] = data;
		trigger?.(data);
	};
	worker.onerror = (e) => said.push({ event: 'failed', kind: 'script', text: e.message });
}
const ask = (request) => { worker.postMessage({ id: next, ...request }); return next++; };
// whenAt does something as soon as a training has come to a step.
function whenAt(id, step, act) {
	trigger = (m) => {
		if (m.id !== id || m.event !== 'metrics' || m.metrics.step < step) return;
		trigger = null;
		act();
	};
	const last = of('metrics').at(-1);
	if (last) trigger(last);
}
const of = (event) => said.filter((m) => m.event === event);
async function base64(blob) {
	const bytes = new Uint8Array(await blob.arrayBuffer());
	let text = '';
	for (let i = 0; i < bytes.length; i += 32768) text += String.fromCharCode(...bytes.subarray(i, i + 32768));
	return btoa(text);
}
const file = (text) => new Blob([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))]);
`

// tab is a page with a worker.
type tab struct {
	*pagetest.Browser
	t      *testing.T
	server *httptest.Server
}

// swiftshader are the flags with which Chromium has a GPU without a GPU. Each test with
// one has a browser of its own: what a test leaves in the GPU's process, such as a lost
// device, is nothing for the next one.
var swiftshader = []string{
	"enable-unsafe-webgpu", "use-webgpu-adapter=swiftshader", "disable-quic", "no-first-run",
	"disable-background-networking", "disable-component-update", "disable-sync",
	"disable-gpu-watchdog", // which takes a busy machine for a GPU that hangs
}

// openTab starts Chromium with the blank page.
func openTab(t *testing.T, most time.Duration) *tab {
	t.Helper()
	if testing.Short() {
		t.Skip("it builds the browser version, which takes a minute")
	}
	pagetest.Chromium(t)
	wasBuilt = true
	dir, err := built()
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "blank.html"), []byte(blank), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "blank.js"), []byte(blankScript), 0o600))
	h, err := web.Handler(dir)
	require.NoError(t, err)
	server := httptest.NewServer(h)
	t.Cleanup(func() { server.CloseClientConnections(); server.Close() })
	b := pagetest.Open(t, most, swiftshader...)
	p := &tab{b, t, server}
	p.Do(chromedp.Navigate(server.URL + "/blank.html"))
	return p
}

// start starts the worker, and gives what it says when it is ready.
func (p *tab) start() Ready {
	p.t.Helper()
	p.run(`start()`)
	p.Wait("the worker is ready", `of('ready').length + of('failed').length > 0`)
	require.Empty(p.t, p.json(`of('failed')`, new([]Failed)), "the worker failed")
	var r Ready
	p.json(`of('ready')[0]`, &r)
	if r.Adapter == nil {
		p.t.Skip("Chromium has no WebGPU adapter here: ", r.Problem)
	}
	return r
}

func (p *tab) run(js string) { p.Do(chromedp.Evaluate[chromedp.Void](js)) }

// json gets the value of an expression.
func (p *tab) json(js string, v any) any {
	p.t.Helper()
	text := pagetest.Eval[string](p.Browser, `JSON.stringify(`+js+`) ?? 'null'`)
	require.NoError(p.t, json.Unmarshal([]byte(text), v), js)
	switch list := v.(type) {
	case *[]Failed:
		return *list
	}
	return v
}

// ask sends a request, whose fields are JavaScript, and gives its id.
func (p *tab) ask(request string) int {
	p.t.Helper()
	return pagetest.Eval[int](p.Browser, `ask(`+request+`)`)
}

// answer waits for the answer of a request; failed is its error, if it has one.
func (p *tab) answer(id int, v any) (failed string) {
	p.t.Helper()
	if deadline, ok := p.Context.Deadline(); ok {
		late := time.AfterFunc(time.Until(deadline)-2*time.Second, func() {
			text, err := chromedp.Run(p.Context, chromedp.Evaluate[string](`JSON.stringify(said.slice(-5))`))
			p.t.Log("the worker said last: ", text, err)
		})
		defer late.Stop()
	}
	p.Wait(fmt.Sprintf("request %d is answered", id), fmt.Sprintf(`%d in answers || of('failed').length > 0`, id))
	require.Empty(p.t, p.json(`of('failed')`, new([]Failed)), "the worker failed")
	var a struct{ Error string }
	p.json(fmt.Sprintf(`answers[%d]`, id), &a)
	if a.Error == "" && v != nil {
		p.json(fmt.Sprintf(`answers[%d]`, id), v)
	}
	return a.Error
}

// must is an answer without an error.
func (p *tab) must(request string, v any) {
	p.t.Helper()
	require.Empty(p.t, p.answer(p.ask(request), v), request)
}

// losses are those of each step that the training id told.
func (p *tab) losses(id int) map[int64]float64 {
	p.t.Helper()
	var lines []struct {
		Metrics struct {
			Step int64
			Loss float64
		}
	}
	p.json(fmt.Sprintf(`of('metrics').filter((m) => m.id === %d)`, id), &lines)
	out := map[int64]float64{}
	for _, l := range lines {
		out[l.Metrics.Step] = l.Metrics.Loss
	}
	return out
}

// clean requires that nothing was asked of another server, and nothing was
// complained about.
func (p *tab) clean() { p.Clean(p.server.URL) }

func TestWorkerStarts(t *testing.T) {
	p := openTab(t, 3*time.Minute)
	began := time.Now()
	r := p.start()
	t.Logf("ready after %.1f s: %+v", time.Since(began).Seconds(), r)
	require.Equal(t, "opfs", r.Storage.Kind)
	require.NotEmpty(t, r.Adapter.Name)
	var s Schema
	p.must(`{do: 'schema'}`, &s)
	require.Len(t, s.Experiments, 4)
	require.Positive(t, s.Experiments[0].Parameters)
	require.NotEmpty(t, s.Experiments[0].Settings[0].Default)
	var list struct{ Runs []Run }
	p.must(`{do: 'runs'}`, &list)
	require.Empty(t, list.Runs)
	for request, want := range map[string]string{
		`{do: 'nonsense'}`:                  "no request",
		`{do: 'run', run: 'x'}`:             "removed",
		`{do: 'run', run: '../x'}`:          "cannot be a name",
		`{do: 'train'}`:                     "experiment",
		`{do: 'train', experiment: 'text'}`: "drop a file",
		`{do: 'train', settings: 1}`:        "wrong kind",
		`{do: 'train', experiment: 'simple', settings: {steps: 'x'}}`:    "steps",
		`{do: 'train', experiment: 'simple', settings: {nonsense: '1'}}`: "nonsense",
		`{do: 'download', run: 'x', form: 'folder'}`:                     "removed",
		`{do: 'talk', run: 'x', messages: []}`:                           "write something",
		`{do: 'think', run: '', moves: '11'}`:                            "taken",
		`{do: 'think', run: '', moves: 'ab'}`:                            "no game",
		`{do: 'measure', what: ['x']}`:                                   "cannot be measured",
	} {
		got := p.answer(p.ask(request), nil)
		require.Contains(t, got, want, request)
		require.NotContains(t, got, "\n")
	}
	p.clean()
}
