package serve

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/model/modeltest"
)

// start serves the shipped model of tic-tac-toe.
func start(t *testing.T, l Limits) (*httptest.Server, *Server) {
	t.Helper()
	return startFor(t, l, Access{Hosts: []string{"localhost", "127.0.0.1"}})
}

func startFor(t *testing.T, l Limits, a Access) (*httptest.Server, *Server) {
	t.Helper()
	dev := modeltest.Device(t)
	m, err := infer.Open(context.Background(), dev, "", filepath.Join("..", "..", "testdata", "tictactoe"), func(s string) { t.Error(s) })
	require.NoError(t, err)
	return startModel(t, m, l, a)
}

func startModel(t *testing.T, m *infer.Model, l Limits, a Access) (*httptest.Server, *Server) {
	t.Helper()
	batch, err := m.NewBatch(2, 0)
	require.NoError(t, err)
	t.Cleanup(batch.Release)
	f, err := infer.FindChatFormat("", m.Tokenizer)
	require.NoError(t, err)
	s := New(m, batch, "game", f, l, a, nil)
	web := httptest.NewServer(s.Handler())
	t.Cleanup(web.Close)
	return web, s
}

// hold lets no text go on until the function that it returns is called.
func hold(t *testing.T, s *Server) (release func()) {
	t.Helper()
	held, free, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		_, err := s.batch.Complete(context.Background(), infer.BatchRequest{
			Begin:   func() { close(held); <-free },
			Request: infer.Request{Tokens: []uint32{5}, Limit: 1, Sampling: infer.DefaultSampling()},
		}, nil)
		if err != nil {
			t.Error(err)
		}
	}()
	<-held
	release = sync.OnceFunc(func() { close(free); <-ended })
	t.Cleanup(release)
	return release
}

// waiting is how many texts wait.
func waiting(s *Server) int {
	_, n := s.batch.Load()
	return n
}

func post(t *testing.T, url, body string) (int, map[string]any) {
	t.Helper()
	r, err := http.Post(url, "application/json", strings.NewReader(body))
	require.NoError(t, err)
	defer r.Body.Close()
	var v map[string]any
	require.NoError(t, json.NewDecoder(r.Body).Decode(&v))
	return r.StatusCode, v
}

func at(v any, path ...any) any {
	for _, p := range path {
		switch k := p.(type) {
		case string:
			v = v.(map[string]any)[k]
		case int:
			v = v.([]any)[k]
		}
	}
	return v
}

func TestCompletions(t *testing.T) {
	web, _ := start(t, DefaultLimits())
	status, v := post(t, web.URL+"/v1/completions", `{"model": "game", "prompt": "5", "temperature": 0}`)
	require.Equal(t, 200, status, v)
	text := at(v, "choices", 0, "text").(string)
	require.Len(t, text, 8, "a perfect game is a draw")
	require.Equal(t, "stop", at(v, "choices", 0, "finish_reason"))
	require.EqualValues(t, 8, at(v, "usage", "completion_tokens"))

	status, v = post(t, web.URL+"/v1/completions", `{"prompt": "5", "temperature": 0, "max_tokens": 3}`)
	require.Equal(t, 200, status, v)
	require.Equal(t, text[:3], at(v, "choices", 0, "text"))
	require.Equal(t, "length", at(v, "choices", 0, "finish_reason"))

	status, v = post(t, web.URL+"/v1/completions", `{"prompt": "5", "temperature": 0, "stop": ["`+text[4:5]+`"]}`)
	require.Equal(t, 200, status, v)
	require.Equal(t, text[:4], at(v, "choices", 0, "text"))

	status, v = post(t, web.URL+"/v1/chat/completions", `{"messages": [{"role": "user", "content": "5"}], "temperature": 0}`)
	require.Equal(t, 200, status, v)
	require.Equal(t, text, at(v, "choices", 0, "message", "content"))
	status, v = post(t, web.URL+"/v1/chat/completions", `{"messages": [{"role": "user", "content": [{"type": "text", "text": "5"}]}], "seed": 3, "top_k": 1}`)
	require.Equal(t, 200, status, v)
	require.Equal(t, text, at(v, "choices", 0, "message", "content"))
}

func TestStreams(t *testing.T) {
	web, _ := start(t, DefaultLimits())
	for _, chat := range []bool{false, true} {
		url, body := "/v1/completions", `{"prompt": "5", "temperature": 0, "stream": true, "stream_options": {"include_usage": true}}`
		if chat {
			url, body = "/v1/chat/completions", `{"messages": [{"role": "user", "content": "5"}], "temperature": 0, "stream": true}`
		}
		r, err := http.Post(web.URL+url, "application/json", strings.NewReader(body))
		require.NoError(t, err)
		require.Equal(t, "text/event-stream", r.Header.Get("Content-Type"))
		lines := bufio.NewScanner(r.Body)
		text, reason, done, pieces := "", any(nil), false, 0
		var used any
		for lines.Scan() {
			data, ok := strings.CutPrefix(lines.Text(), "data: ")
			if !ok {
				require.Empty(t, lines.Text())
				continue
			}
			require.False(t, done)
			if data == "[DONE]" {
				done = true
				continue
			}
			var v map[string]any
			require.NoError(t, json.Unmarshal([]byte(data), &v))
			if u, ok := v["usage"]; ok {
				used = u
				continue
			}
			piece := at(v, "choices", 0, "text")
			if chat {
				piece = at(v, "choices", 0, "delta", "content")
			}
			if s, ok := piece.(string); ok && s != "" {
				text += s
				pieces++
			}
			reason = at(v, "choices", 0, "finish_reason")
		}
		require.NoError(t, r.Body.Close())
		require.True(t, done)
		require.Equal(t, 8, pieces)
		require.Len(t, text, 8)
		require.Equal(t, "stop", reason)
		require.Equal(t, !chat, used != nil, "usage comes if it is asked for")
	}
}

func TestRefusals(t *testing.T) {
	l := DefaultLimits()
	l.Body = 2000
	web, s := start(t, l)
	for _, c := range []struct {
		url, body string
		status    int
		says      string
	}{
		{"/v1/completions", `{`, 400, "JSON"},
		{"/v1/completions", `{}`, 400, "prompt"},
		{"/v1/completions", `{"prompt": {"text": "5"}}`, 400, "prompt must be a string"},
		{"/v1/completions", `{"prompt": []}`, 400, "1 to 64 texts"},
		{"/v1/completions", `{"prompt": [400]}`, 400, "there is no token 400"},
		{"/v1/completions", `{"prompt": "hello"}`, 400, "token"},
		{"/v1/completions", `{"prompt": "5", "model": "gpt-4"}`, 404, "game"},
		{"/v1/completions", `{"prompt": "5", "n": 65}`, 400, "n: want 1 to 64 answers"},
		{"/v1/completions", `{"prompt": ["5", "5"], "n": 40}`, 400, "are 80 texts"},
		{"/v1/completions", `{"prompt": "5", "temperature": -1}`, 400, "temperature"},
		{"/v1/completions", `{"prompt": "5", "max_tokens": 0}`, 400, "max_tokens"},
		{"/v1/completions", `{"prompt": "5", "stop": 3}`, 400, "stop"},
		{"/v1/completions", `{"prompt": "` + strings.Repeat("1", 60) + `"}`, 400, "context"},
		{"/v1/completions", `{"prompt": "` + strings.Repeat("1", 3000) + `"}`, 413, "2000"},
		{"/v1/chat/completions", `{"messages": []}`, 400, "messages"},
		{"/v1/chat/completions", `{"messages": [{"role": "king", "content": "5"}]}`, 400, "role"},
		{"/v1/chat/completions", `{"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}`, 400, "image_url"},
		{"/v1/embeddings", `{}`, 404, "/v1/models"},
	} {
		status, v := post(t, web.URL+c.url, c.body)
		require.Equal(t, c.status, status, c.body)
		require.Contains(t, at(v, "error", "message"), c.says, c.body)
	}

	r, err := http.NewRequest("GET", web.URL+"/v1/models", nil)
	require.NoError(t, err)
	r.Host = "evil.example"
	got, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	require.Equal(t, http.StatusForbidden, got.StatusCode)
	require.NoError(t, got.Body.Close())
	got, err = http.Get(web.URL + "/v1/models")
	require.NoError(t, err)
	b, err := io.ReadAll(got.Body)
	require.NoError(t, err)
	require.Contains(t, string(b), `"game"`)

	// While answers are under way, only so many wait.
	for range cap(s.places) {
		s.places <- struct{}{}
	}
	require.Equal(t, l.Queue+2, cap(s.places))
	status, v := post(t, web.URL+"/v1/completions", `{"prompt": "5"}`)
	require.Equal(t, http.StatusTooManyRequests, status, v)
	for range cap(s.places) {
		<-s.places
	}
	release := hold(t, s)
	// A client that goes away while it waits leaves its place.
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	q, err := http.NewRequestWithContext(ctx, "POST", web.URL+"/v1/completions", strings.NewReader(`{"prompt": "5"}`))
	require.NoError(t, err)
	q.Header.Set("Content-Type", "application/json")
	_, err = http.DefaultClient.Do(q)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.Eventually(t, func() bool { return waiting(s) == 0 && len(s.places) == 0 }, 5*time.Second, 10*time.Millisecond)
	release()
	status, _ = post(t, web.URL+"/v1/completions", `{"prompt": "5"}`)
	require.Equal(t, 200, status)
}
