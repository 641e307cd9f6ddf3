package dash

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/page"
	"bitnet/bitnet/runs"
)

// hostileName is as bad as the name of a folder can be.
const hostileName = `<script>alert(1)<!-- "><img src=x onerror=alert(2)>`

// writeRun makes a run directory with metrics of steps from...to.
func writeRun(t testing.TB, root, name string, from, to int64) string {
	dir := filepath.Join(root, name)
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "logs"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "config.yaml"), []byte("name: test\ntrain: {steps: 1000, learning_rate: 0.001}\n"), 0o644))
	appendMetrics(t, dir, from, to)
	return dir
}

func appendMetrics(t testing.TB, dir string, from, to int64) {
	var b strings.Builder
	for s := from; s <= to; s++ {
		loss := 3 / float64(s)
		if s == 7777 {
			loss = 99
		}
		fmt.Fprintf(&b, `{"step":%d,"loss":%g,"loss_mean":%g,"lr":0.001,"grad_norm":1,"step_time_ms":20,"tokens_per_sec":100,"tokens_seen":%d,`+
			`"ternary":{"model.layers.0.mlp.up_proj.weight":[0.25,0.5,0.25]}}`+"\n", s, loss, loss, 64*s)
	}
	appendText(t, filepath.Join(dir, "logs", "metrics.jsonl"), b.String())
}

func appendText(t testing.TB, path, text string) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	require.NoError(t, err)
	_, err = f.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func TestHosts(t *testing.T) {
	s := httptest.NewServer(Handler(t.TempDir(), "mybox"))
	t.Cleanup(s.Close)
	for _, row := range []struct {
		host string
		code int
	}{
		{"127.0.0.1:6006", 200}, {"localhost:6006", 200}, {"LOCALHOST", 200}, {"localhost.", 200}, {"[::1]:6006", 200},
		{"127.0.0.1", 200}, {"127.8.8.8:1", 200}, {"mybox:6006", 200}, {"[::ffff:127.0.0.1]:80", 200},
		{"evil.example", 403}, {"evil.example:6006", 403}, {"localhost.evil.example", 403}, {"127.0.0.1.evil.example", 403},
		{"192.0.2.1:6006", 403}, {"0.0.0.0:6006", 403}, {"mybox.evil.example", 403}, {"notlocalhost", 403},
	} {
		for _, path := range []string{"/", "/app.js", "/api/series?run=x", "/nothing"} {
			r, err := http.NewRequest(http.MethodGet, s.URL+path, nil)
			require.NoError(t, err)
			r.Host = row.host
			w, err := http.DefaultClient.Do(r)
			require.NoError(t, err)
			w.Body.Close()
			if row.code == 403 {
				require.Equal(t, 403, w.StatusCode, "%s%s", row.host, path)
			} else {
				require.NotEqual(t, 403, w.StatusCode, "%s%s", row.host, path)
			}
		}
	}
}

func TestReadOnly(t *testing.T) {
	h := Handler(t.TempDir())
	for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"} {
		for _, path := range []string{"/", "/api/events", "/api/series?run=x", "/nothing"} {
			w := ask(h, method, path)
			require.Equal(t, 405, w.Code, "%s %s", method, path)
			require.Equal(t, "GET, HEAD", w.Header().Get("Allow"))
		}
	}
	for _, path := range []string{"/", "/style.css", "/api/events"} {
		w := httptest.NewServer(h)
		r, err := http.Head(w.URL + path)
		require.NoError(t, err)
		require.Equal(t, 200, r.StatusCode, path)
		w.Close()
	}
}

func ask(h http.Handler, method, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(method, target, nil)
	r.Host = "localhost"
	h.ServeHTTP(w, r)
	return w
}

// No request reaches a file but those of the page and the logs of listed runs.
func TestPathTricks(t *testing.T) {
	root := t.TempDir()
	const secret = "hunter2"
	require.NoError(t, os.WriteFile(filepath.Join(root, "secret.txt"), []byte(secret), 0o644))
	writeRun(t, root, "outside", 1, 3)
	runsDir := filepath.Join(root, "runs")
	writeRun(t, runsDir, "inside", 1, 3)
	h := Handler(runsDir)
	for _, path := range []string{
		"/../secret.txt", "/%2e%2e/secret.txt", "/page/../../secret.txt", "/..%2fsecret.txt", "/page", "/page/index.html", "/dash.go",
		"//etc/passwd", "/index.html/", "/runs/inside/config.yaml", "/app.js%00", "/.",
		"/api/series?run=../outside", "/api/series?run=..%2Foutside", "/api/series?run=" + root + "/outside", "/api/series?run=.", "/api/series?run=",
		"/api/series?run=inside/../../outside", "/api/series?run=inside%00", "/api/ternary?run=../outside", "/api/", "/api/nothing",
	} {
		w := ask(h, "GET", path)
		require.NotContains(t, w.Body.String(), secret, path)
		require.NotContains(t, w.Body.String(), `"step"`, path)
		require.NotEqual(t, 200, w.Code, path)
	}
	require.Equal(t, 200, ask(h, "GET", "/api/series?run=inside").Code)
	for _, bad := range []string{"from=x", "from=-1", "to=1e9", "points=0", "points=x", "from=99999999999999999999", "from=8&to=5", "from=%zz", "a;b"} {
		for _, path := range []string{"series", "ternary"} {
			w := ask(h, "GET", "/api/"+path+"?run=inside&"+strings.ReplaceAll(bad, "points", map[string]string{"series": "points", "ternary": "columns"}[path]))
			require.Equal(t, 400, w.Code, bad)
			require.Regexp(t, `^[^\n]{10,100}\n$`, w.Body.String(), "a clear line")
		}
	}
	require.Equal(t, 400, ask(h, "GET", "/api/events?run=%zz").Code)
	many := url.Values{}
	for i := range mostRuns + 1 {
		many.Add("run", fmt.Sprint(i))
	}
	require.Equal(t, 400, ask(h, "GET", "/api/events?"+many.Encode()).Code)
}

// Whatever a query says, the answer is one of a few, and the server goes on.
func FuzzQuery(f *testing.F) {
	log.SetOutput(io.Discard)
	root := f.TempDir()
	writeRun(f, root, "a", 1, 300)
	h := Handler(root)
	for _, q := range []string{"run=a", "run=a&from=8&to=5", "run=a&from=0&to=0", "run=a&from=9007199254740992&to=9007199254740992", "run=a&to=9223372036854775807",
		"run=a&from=299&points=2", "run=a&columns=2&from=5&to=5", "run=b", "%zz", "run=a&from=+1", "run=a&from=1&from=2", "run=a&points=-1"} {
		f.Add(q)
	}
	f.Fuzz(func(t *testing.T, q string) {
		for _, path := range []string{"/api/series", "/api/ternary"} {
			r := httptest.NewRequest("GET", path, nil)
			r.Host, r.URL.RawQuery = "localhost", q
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			switch w.Code {
			case 200:
				require.True(t, json.Valid(w.Body.Bytes()), q)
			case 400, 404:
				require.Equal(t, 1, strings.Count(w.Body.String(), "\n"), q)
			default:
				t.Fatalf("%s?%s: %d %s", path, q, w.Code, w.Body)
			}
		}
		if names, err := followedRuns(q); err == nil && len(names) > mostRuns {
			t.Fatal(q)
		}
	})
}

// A fault of the server in one answer is reported, and ends neither the server
// nor the other answers.
func TestFaultsAreCaught(t *testing.T) {
	var reported strings.Builder
	log.SetOutput(&reported)
	t.Cleanup(func() { log.SetOutput(os.Stderr) })
	w := ask(guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("a fault") }), nil), "GET", "/")
	require.Equal(t, 500, w.Code)
	require.Contains(t, reported.String(), "a fault")
	require.PanicsWithValue(t, http.ErrAbortHandler, func() {
		ask(guard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), nil), "GET", "/")
	}, "which ends a connection without a report")
}

// The page needs nothing from elsewhere and holds nothing inline, which its
// policy would forbid.
func TestPageIsItsOwn(t *testing.T) {
	h := Handler(t.TempDir())
	all := files()
	require.Contains(t, all, "index.html")
	foreign := regexp.MustCompile(`(?i)(https?:)?//[a-z0-9-]+\.[a-z]`)
	inline := regexp.MustCompile(`(?i)<script>|<style|\sstyle=|\son[a-z]+=|javascript:|innerHTML|outerHTML|insertAdjacentHTML|eval\(|document\.write`)
	for name, f := range all {
		text := strings.ReplaceAll(string(f.Body), "http://www.w3.org/2000/svg", "")
		require.Empty(t, foreign.FindString(text), name)
		require.Empty(t, inline.FindString(text), name)
		require.NotEmpty(t, f.Kind, name)

		w := ask(h, "GET", "/"+name)
		require.Equal(t, 200, w.Code, name)
		require.Equal(t, policy, w.Header().Get("Content-Security-Policy"))
		require.Equal(t, "nosniff", w.Header().Get("X-Content-Type-Options"))
		r := httptest.NewRequest("GET", "/"+name, nil)
		r.Host = "localhost"
		r.Header.Set("If-None-Match", w.Header().Get("ETag"))
		again := httptest.NewRecorder()
		h.ServeHTTP(again, r)
		require.Equal(t, 304, again.Code, name)
	}
	for _, part := range []string{"default-src 'none'", "script-src 'self'", "frame-ancestors 'none'"} {
		require.Contains(t, policy, part)
	}
	require.NotContains(t, policy, "unsafe")
}

// listen reads the events of a stream one by one.
func listen(t testing.TB, s *httptest.Server, query string) func(want string) map[string]any {
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", s.URL+"/api/events?"+query, nil)
	require.NoError(t, err)
	w, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	t.Cleanup(func() { w.Body.Close() })
	require.Equal(t, "text/event-stream", w.Header.Get("Content-Type"))
	lines := bufio.NewReader(w.Body)
	return func(want string) map[string]any {
		for event := ""; ; {
			line, err := lines.ReadString('\n')
			require.NoError(t, err)
			line = strings.TrimSuffix(line, "\n")
			if name, ok := strings.CutPrefix(line, "event: "); ok {
				event = name
			}
			if text, ok := strings.CutPrefix(line, "data: "); ok && event == want {
				var v map[string]any
				require.NoError(t, json.Unmarshal([]byte(text), &v))
				return v
			}
		}
	}
}

func steps(v map[string]any) (out []int) {
	for _, s := range v["step"].([]any) {
		out = append(out, int(s.(float64)))
	}
	return out
}

func names(v map[string]any) (out []string) {
	for _, r := range v["changed"].([]any) {
		out = append(out, r.(map[string]any)["name"].(string))
	}
	return out
}

func TestStream(t *testing.T) {
	root := t.TempDir()
	dir := writeRun(t, root, hostileName, 1, 5)
	s := httptest.NewServer(Handler(root))
	t.Cleanup(s.Close)
	next := listen(t, s, "run="+url.QueryEscape(hostileName)+"&run=not-there")

	charts := next("schema")["charts"].([]any)
	require.Len(t, charts, len(runs.Charts()))
	first := next("runs")
	require.Equal(t, true, first["all"])
	values := first["changed"].([]any)[0].(map[string]any)["values"].(map[string]any)
	require.EqualValues(t, 100, values[runs.TokensPerSec.String()])
	require.Equal(t, []string{hostileName}, names(first))
	whole := next("series")
	require.Equal(t, hostileName, whole["run"])
	require.Equal(t, []int{1, 2, 3, 4, 5}, steps(whole))
	require.Equal(t, "0.001", next("config")["config"].(map[string]any)["train.learning_rate"])

	// Only what is new comes, and no half line.
	appendMetrics(t, dir, 6, 7)
	appendText(t, filepath.Join(dir, "logs", "metrics.jsonl"), `{"step":8,"loss":1,`)
	got := next("patch")
	for steps(got)[len(steps(got))-1] < 7 {
		got = next("patch")
	}
	require.GreaterOrEqual(t, steps(got)[0], 5)
	appendText(t, filepath.Join(dir, "logs", "metrics.jsonl"), `"loss_mean":null}`+"\n")
	got = next("patch")
	require.Equal(t, []int{7, 8}, steps(got))
	mean := got["keys"].(map[string]any)["loss_mean"].(map[string]any)
	require.Nil(t, mean["mean"].([]any)[1])
	require.Equal(t, []any{0., 1.}, mean["bad"])

	appendText(t, filepath.Join(dir, "logs", "samples.jsonl"), `{"step":8,"mode":"greedy","prompt":"p","text":"</script>\u2028"}`+"\n")
	appendText(t, filepath.Join(dir, "logs", "eval.jsonl"), `{"step":8,"loss":2.5,"perplexity":12,"tokens":9,"scores":[{"name":"games won","value":0.5,"unit":"share","count":64,"of":"games"},{"name":"games won","part":"as X","value":0.75,"unit":"share"},{"name":"games won","part":"as X, first","value":1,"unit":"share"}]}`+"\n")
	appendText(t, filepath.Join(dir, "logs", "anomalies.jsonl"), `{"step":8,"kind":"nan","message":"the loss is NaN","action":"warn","time":"2026-11-24T00:00:00Z"}`+"\n")
	seen := map[string]any{}
	for len(seen) < 3 {
		l := next("logs")
		require.NotEqual(t, true, l["reset"] == true && len(seen) > 0, "nothing is sent twice")
		for _, k := range []string{"samples", "evals", "anomalies"} {
			if v, ok := l[k].([]any); ok {
				require.Len(t, v, 1)
				seen[k] = v[0]
			}
		}
	}
	require.Equal(t, "</script>\u2028", seen["samples"].(map[string]any)["text"])
	require.Equal(t, []any{
		map[string]any{"name": "validation loss", "value": 2.5, "format": "plain", "text": "2.5 nats over 9 tokens"},
		map[string]any{"name": "games won", "value": 0.5, "format": "percent", "text": "50.0% of 64 games"},
		map[string]any{"name": "games won", "part": "as X", "value": 0.75, "format": "percent", "text": "75.0%"},
	}, seen["evals"].(map[string]any)["scores"])
	require.Equal(t, "the loss is NaN", seen["anomalies"].(map[string]any)["text"])

	// A resumed run cut its log: all of it is sent again.
	path := filepath.Join(dir, "logs", "metrics.jsonl")
	require.NoError(t, os.Remove(path))
	appendMetrics(t, dir, 1, 3)
	for got = next("series"); len(steps(got)) != 3; {
		got = next("series")
	}
	require.Equal(t, []int{1, 2, 3}, steps(got))

	// Runs come and go.
	other := writeRun(t, root, "another", 1, 1)
	for got = next("runs"); !slices.Contains(names(got), "another"); {
		got = next("runs")
	}
	require.Equal(t, false, got["all"])
	require.NoError(t, os.RemoveAll(other))
	for got = next("runs"); got["gone"] == nil; {
		got = next("runs")
	}
	require.Equal(t, []any{"another"}, got["gone"])
}

// A log too long to wait for shows its shape first, says so, and then comes whole.
func TestLongLog(t *testing.T) {
	root := t.TempDir()
	dir := writeRun(t, root, "long", 1, 1)
	appendText(t, filepath.Join(dir, "logs", "eval.jsonl"), `{"step":40,"loss":2.5}`+"\n")
	log, err := os.OpenFile(filepath.Join(dir, "logs", "metrics.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	padding := strings.Repeat("x", 1<<20)
	for step := 2; step <= 40; step++ { // few lines, but many bytes
		_, err := fmt.Fprintf(log, `{"step":%d,"loss":1,"padding":"%s"}`+"\n", step, padding)
		require.NoError(t, err)
	}
	require.NoError(t, log.Close())
	s := httptest.NewServer(Handler(root))
	t.Cleanup(s.Close)
	next := listen(t, s, "run=long")
	first := next("series")
	require.Equal(t, 40, steps(first)[len(steps(first))-1])
	percent := next("reading")["percent"].(float64)
	require.True(t, percent >= 0 && percent <= 100, percent)
	require.Len(t, steps(next("series")), 40)
	logs := next("logs")
	require.Equal(t, true, logs["reset"])
	require.Len(t, logs["evals"], 1)
	appendMetrics(t, dir, 41, 41)
	require.Equal(t, []int{40, 41}, steps(next("patch")))
}

// A long log comes in a bounded number of rows that keep its spike; a part of
// it comes line by line.
func TestThinning(t *testing.T) {
	root := t.TempDir()
	writeRun(t, root, "long", 1, 30000)
	s := httptest.NewServer(Handler(root))
	t.Cleanup(s.Close)
	whole := listen(t, s, "run=long")("series")
	require.LessOrEqual(t, len(steps(whole)), rows)
	require.Greater(t, len(steps(whole)), rows/4)
	require.Equal(t, 30000, steps(whole)[len(steps(whole))-1])
	high := whole["keys"].(map[string]any)["loss"].(map[string]any)["high"].([]any)
	require.Contains(t, high, 99.)

	w := ask(Handler(root), "GET", "/api/series?run=long&from=7700&to=7800")
	require.Equal(t, 200, w.Code)
	var part block
	var v map[string]any
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &v))
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &part))
	require.Equal(t, int64(1), part.Width)
	require.Len(t, part.Step, 101)
	require.Equal(t, int64(7700), part.Step[0])
	require.InDelta(t, 7700*0.02, part.Time[0], 0.1) // the time runs on from the beginning of the run
	require.InDelta(t, 99, part.Keys["loss"].Mean[77], 0)

	w = ask(Handler(root), "GET", "/api/ternary?run=long&columns=50")
	var sh shares
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &sh))
	require.Equal(t, []string{"model.layers.0.mlp.up_proj.weight"}, sh.Names)
	require.LessOrEqual(t, len(sh.Step), 50)
	require.Greater(t, len(sh.Step), 25)
	require.Equal(t, int64(30000), sh.Step[len(sh.Step)-1])
	require.InDelta(t, 0.5, sh.Shares[0][1][0], 1e-6)
	require.Len(t, sh.Shares[0][1], len(sh.Step))

	require.NoError(t, json.Unmarshal(ask(Handler(root), "GET", "/api/ternary?run=long&from=7700&to=7800").Body.Bytes(), &sh))
	require.Len(t, sh.Step, 101)
	require.NoError(t, json.Unmarshal(ask(Handler(root), "GET", "/api/ternary?run=long&from=30001").Body.Bytes(), &sh))
	require.Empty(t, sh.Step)
}

// The end of the context ends the server, though a page is listening.
func TestServeStops(t *testing.T) {
	l, err := page.Listen("127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- page.Serve(ctx, l, Handler(t.TempDir())) }()
	w, err := http.Get("http://" + l.Addr().String() + "/api/events")
	require.NoError(t, err)
	defer w.Body.Close()
	_, err = bufio.NewReader(w.Body).ReadString('\n')
	require.NoError(t, err)
	cancel()
	require.NoError(t, <-done)
	_, _ = io.Copy(io.Discard, w.Body) // ends
}
