package serve

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func get(t *testing.T, url string) (int, http.Header, string) {
	t.Helper()
	r, err := http.Get(url)
	require.NoError(t, err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	require.NoError(t, err)
	return r.StatusCode, r.Header, string(b)
}

var sample = regexp.MustCompile(`^([a-z_]+)(\{[^}]*\})? (-?[0-9.e+-]+)$`)

// The metrics have the form that Prometheus reads: every sample after the HELP and
// TYPE of its family, buckets that only grow.
func TestMetrics(t *testing.T) {
	web, _ := start(t, DefaultLimits())
	post(t, web.URL+"/v1/completions", `{"prompt": "5", "temperature": 0}`)
	post(t, web.URL+"/v1/completions", `{"prompt": "5", "temperature": -1}`)
	_, _, _ = get(t, web.URL+"/a/path?of=a#client")
	var status int
	var h http.Header
	var text string
	require.Eventually(t, func() bool { // a request is counted just after its answer
		status, h, text = get(t, web.URL+"/metrics")
		return strings.Contains(text, `path="other"`) && strings.Contains(text, "bitnet_requests_in_flight 0")
	}, 5*time.Second, 10*time.Millisecond)
	require.Equal(t, 200, status)
	require.Equal(t, "text/plain; version=0.0.4; charset=utf-8", h.Get("Content-Type"))
	values, family, buckets := map[string]float64{}, "", -1.
	for _, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if name, ok := strings.CutPrefix(line, "# HELP "); ok {
			family, buckets = strings.Fields(name)[0], -1
			continue
		}
		if kind, ok := strings.CutPrefix(line, "# TYPE "); ok {
			require.Equal(t, family, strings.Fields(kind)[0])
			continue
		}
		m := sample.FindStringSubmatch(line)
		require.NotNil(t, m, line)
		require.True(t, strings.HasPrefix(m[1], family), line)
		v, err := strconv.ParseFloat(m[3], 64)
		require.NoError(t, err)
		if strings.HasSuffix(m[1], "_bucket") {
			require.GreaterOrEqual(t, v, buckets, line)
			buckets = v
		}
		if strings.HasSuffix(m[1], "_count") {
			require.Equal(t, buckets, v, line)
		}
		values[m[1]+m[2]] = v
	}
	for name, want := range map[string]float64{
		`bitnet_requests_total{path="/v1/completions",status="200"}`: 1, `bitnet_requests_total{path="/v1/completions",status="400"}`: 1,
		`bitnet_requests_total{path="other",status="404"}`: 1, "bitnet_prompt_tokens_total": 2, "bitnet_generated_tokens_total": 8,
		"bitnet_texts_running": 0, "bitnet_texts_at_once": 2, "bitnet_requests_in_flight": 0, "bitnet_request_seconds_count": 1, "bitnet_first_token_seconds_count": 1,
	} {
		v, there := values[name]
		require.True(t, there, name)
		require.Equal(t, want, v, name)
	}
}

func TestHealth(t *testing.T) {
	web, s := start(t, DefaultLimits())
	status, _, text := get(t, web.URL+"/health")
	require.Equal(t, 200, status)
	require.JSONEq(t, `{"status": "ok"}`, text)
	s.Stop()
	status, _, text = get(t, web.URL+"/health")
	require.Equal(t, 503, status)
	require.JSONEq(t, `{"status": "stopping"}`, text)
}

// failing is a log on a full disk.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("no space left") }

// A line for each request, without what people said unless that is asked for.
func TestRequestLog(t *testing.T) {
	for _, texts := range []bool{false, true} {
		web, s := start(t, DefaultLimits())
		var out bytes.Buffer
		s.log = NewLog(&out, texts)
		post(t, web.URL+"/v1/completions", `{"prompt": ["57", "57"], "temperature": 0, "max_tokens": 2}`)
		post(t, web.URL+"/v1/completions", `{"prompt": "5", "n": 0}`)
		_, h, _ := get(t, web.URL+"/%0a%1b[31m"+strings.Repeat("x", 5000))
		var lines []string
		require.Eventually(t, func() bool { // a line comes just after the answer
			s.log.mu.Lock()
			defer s.log.mu.Unlock()
			lines = strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
			return len(lines) == 3
		}, 5*time.Second, 10*time.Millisecond)
		var first, last record
		require.NoError(t, json.Unmarshal([]byte(lines[0]), &first))
		require.NoError(t, json.Unmarshal([]byte(lines[2]), &last))
		require.Equal(t, "127.0.0.1", first.Client)
		require.Equal(t, 200, first.Status)
		require.Equal(t, []int{2, 6, 4}, []int{first.Texts, first.PromptTokens, first.NewTokens})
		require.Equal(t, "length", first.Finish)
		require.Positive(t, first.FirstTokenMS)
		require.Equal(t, texts, strings.Contains(lines[0], `u003e57"`), lines[0])
		if texts {
			require.Len(t, first.Answers, 2)
		}
		require.Contains(t, lines[1], `"status":400`)
		require.Less(t, len(lines[2]), 500, "a path of a client is cut")
		require.NotContains(t, lines[2], `\u001b`)
		require.Equal(t, last.ID, h.Get("X-Request-Id"))
		s.log = NewLog(failing{}, texts)
		status, _ := post(t, web.URL+"/v1/completions", `{"prompt": "5", "max_tokens": 1}`)
		require.Equal(t, 200, status, "a log that cannot be written stops nobody")
	}
}

// The page needs no key and nothing from elsewhere; all else does.
func TestPageFiles(t *testing.T) {
	web, _ := startFor(t, DefaultLimits(), Access{Key: "secret", Hosts: []string{"127.0.0.1"}})
	status, h, html := get(t, web.URL+"/")
	require.Equal(t, 200, status)
	require.Contains(t, h.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self'")
	require.Contains(t, h.Get("Content-Security-Policy"), "require-trusted-types-for 'script'")
	require.NotRegexp(t, `(?i)https?://|<script>|\son\w+=|style=`, html)
	for _, m := range regexp.MustCompile(`(?:src|href)="(page/[^"]+)"`).FindAllStringSubmatch(html, -1) {
		status, h, _ := get(t, web.URL+"/"+m[1])
		require.Equal(t, 200, status, m[1])
		require.NotEmpty(t, h.Get("Content-Type"))
	}
	for path, f := range pageFiles {
		require.NotEmpty(t, f.Kind, path)
		if strings.HasSuffix(path, ".js") {
			require.NotRegexp(t, `innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|DOMParser|https?://`, string(f.Body), path)
		}
	}
	status, _ = send(t, "GET", web.URL+"/", "", "If-None-Match", h.Get("ETag"))
	require.Equal(t, 304, status)
	for path, want := range map[string]int{"/health": 200, "/metrics": 401, "/v1/models": 401, "/page/": 404, "/page/../v1/models": 401, "/other": 401} {
		status, _, _ := get(t, web.URL+path)
		require.Equal(t, want, status, path)
	}
	status, _ = send(t, "POST", web.URL+"/", "{}", "Content-Type", "application/json")
	require.Equal(t, 401, status)
}

// A conversation that is too long is refused, or loses its oldest messages where the
// request allows it.
func TestTruncation(t *testing.T) {
	web, s := start(t, DefaultLimits())
	var talk []map[string]string
	for i := range 30 {
		role := "user"
		if i%2 == 1 {
			role = "assistant"
		}
		talk = append(talk, map[string]string{"role": role, "content": "1234"})
	}
	talk = append(talk, map[string]string{"role": "user", "content": "5"})
	ask := func(truncation string) (int, map[string]any) {
		body, err := json.Marshal(map[string]any{"messages": talk, "temperature": 0, "max_tokens": 4, "truncation": truncation})
		require.NoError(t, err)
		return post(t, web.URL+"/v1/chat/completions", string(body))
	}
	status, v := ask("disabled")
	require.Equal(t, 400, status)
	require.Equal(t, "context_length_exceeded", at(v, "error", "code"))
	status, v = ask("auto")
	require.Equal(t, 200, status, v)
	require.LessOrEqual(t, at(v, "usage", "prompt_tokens").(float64), float64(s.context))
	require.Greater(t, at(v, "usage", "dropped_messages"), 10.)
	talk[len(talk)-1]["content"] = strings.Repeat("5", 100)
	status, v = ask("auto")
	require.Equal(t, 400, status, "one message that is too long")
	require.Contains(t, at(v, "error", "message"), "shorten it")
}
