package serve

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/infer"
)

// A server that stops finishes no answer silently: what waits is refused, a
// stream that is cut ends with an error, an answer that is not whole is one.
func TestStop(t *testing.T) {
	l := DefaultLimits()
	l.Drain = 50 * time.Millisecond
	web, s := start(t, l)
	release := hold(t, s) // an answer is under way
	var clients sync.WaitGroup
	statuses := make([]int, 3)
	for i := range statuses {
		clients.Go(func() {
			statuses[i], _ = send(t, "POST", web.URL+"/v1/completions", `{"prompt": "5"}`, "Content-Type", "application/json")
		})
	}
	require.Eventually(t, func() bool { return waiting(s) == len(statuses) }, 5*time.Second, time.Millisecond)
	s.Stop()
	s.Stop() // once is enough
	clients.Wait()
	require.Equal(t, []int{503, 503, 503}, statuses)
	status, h := send(t, "POST", web.URL+"/v1/completions", `{"prompt": "5"}`, "Content-Type", "application/json")
	require.Equal(t, 503, status)
	require.NotEmpty(t, h.Get("Retry-After"))
	release()
}

func TestStopCutsAnswers(t *testing.T) {
	for _, stream := range []bool{false, true} {
		web, s := start(t, DefaultLimits())
		s.cutNow(errStopping) // as after the time to drain
		body := `{"prompt": "5", "temperature": 0}`
		if stream {
			body = `{"prompt": "5", "temperature": 0, "stream": true}`
		}
		r, err := http.Post(web.URL+"/v1/completions", "application/json", strings.NewReader(body))
		require.NoError(t, err)
		text, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		require.NoError(t, r.Body.Close())
		require.Contains(t, string(text), "the server is stopping")
		require.NotContains(t, string(text), "finish_reason\":\"length")
		require.NotContains(t, string(text), "[DONE]")
		if !stream {
			require.Equal(t, 503, r.StatusCode)
		}
	}
}

// A client that reads nothing loses its place when it has had time enough.
func TestClientThatReadsNothing(t *testing.T) {
	l := DefaultLimits()
	l.Write = 100 * time.Millisecond
	_, s := start(t, l)
	web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := &answer{w: w, write: l.Write, created: 1}
		a.begin([]*text{{}})
		for { // as a long answer does
			if a.piece(&text{}, infer.Piece{Text: strings.Repeat("x", 1<<16)}) != nil {
				return
			}
		}
	}))
	ended := make(chan struct{})
	inner := web.Config.Handler
	web.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(w, r)
		close(ended)
	})
	web.Start()
	defer web.Close()
	conn, err := net.Dial("tcp", web.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = conn.Write([]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
	require.NoError(t, err)
	select {
	case <-ended:
	case <-time.After(20 * time.Second):
		t.Fatal("the answer still waits for a client that reads nothing")
	}
	require.NotNil(t, s)
}

// A connection is good for another request after a slow one.
func TestDeadlineIsOfAWrite(t *testing.T) {
	l := DefaultLimits()
	l.Write = 50 * time.Millisecond
	web, s := start(t, l)
	client := &http.Client{Transport: &http.Transport{MaxConnsPerHost: 1}}
	for range 3 {
		release := hold(t, s)
		go func() {
			time.Sleep(3 * l.Write) // longer than a write may take
			release()
		}()
		r, err := client.Post(web.URL+"/v1/completions", "application/json", strings.NewReader(`{"prompt": "5", "max_tokens": 1}`))
		require.NoError(t, err)
		_, err = io.Copy(io.Discard, r.Body)
		require.NoError(t, err)
		require.NoError(t, r.Body.Close())
		require.Equal(t, 200, r.StatusCode)
	}
}

// Requests that are large together are refused before they are read.
func TestBytesInFlight(t *testing.T) {
	l := DefaultLimits()
	l.Body, l.Held = 1000, 1500
	web, s := start(t, l)
	release := hold(t, s)
	ctx, cancel := context.WithCancel(context.Background())
	big := `{"prompt": "5"` + strings.Repeat(" ", 900) + `}`
	var first sync.WaitGroup
	first.Go(func() {
		q, err := http.NewRequestWithContext(ctx, "POST", web.URL+"/v1/completions", strings.NewReader(big))
		if err == nil {
			q.Header.Set("Content-Type", "application/json")
			_, err = http.DefaultClient.Do(q)
		}
		if err == nil {
			t.Error("the request was answered")
		}
	})
	require.Eventually(t, func() bool { return waiting(s) == 1 }, 5*time.Second, time.Millisecond)
	status, _ := send(t, "POST", web.URL+"/v1/completions", big, "Content-Type", "application/json")
	require.Equal(t, 429, status)
	cancel()
	first.Wait()
	release()
	require.Eventually(t, func() bool { // its bytes are free again
		status, _ := send(t, "POST", web.URL+"/v1/completions", big, "Content-Type", "application/json")
		return status == 200
	}, 5*time.Second, 10*time.Millisecond)
}

// A handler that panics answers with an error, and the server goes on.
func TestSurvivesPanics(t *testing.T) {
	web, s := start(t, DefaultLimits())
	s.batch = nil
	status, v := post(t, web.URL+"/v1/completions", `{"prompt": "5"}`)
	require.Equal(t, 500, status, v)
	status, _ = send(t, "GET", web.URL+"/v1/models", "")
	require.Equal(t, 200, status)
}

// Prompts of many texts and of token ids, each answered under its index.
func TestPromptForms(t *testing.T) {
	web, s := start(t, DefaultLimits())
	ids, err := s.model.Prompt("5")
	require.NoError(t, err)
	_, one := post(t, web.URL+"/v1/completions", `{"prompt": "5", "temperature": 0}`)
	want := at(one, "choices", 0, "text")
	_, many := post(t, web.URL+"/v1/completions", `{"prompt": ["5", "1", "5"], "temperature": 0}`)
	require.Equal(t, want, at(many, "choices", 0, "text"))
	require.Equal(t, want, at(many, "choices", 2, "text"))
	require.EqualValues(t, 2, at(many, "choices", 2, "index"))
	require.NotEqual(t, want, at(many, "choices", 1, "text"))
	require.EqualValues(t, 6, at(many, "usage", "prompt_tokens"))
	body, err := json.Marshal(map[string]any{"prompt": ids, "temperature": 0})
	require.NoError(t, err)
	_, v := post(t, web.URL+"/v1/completions", string(body))
	require.Equal(t, want, at(v, "choices", 0, "text"))
	_, v = post(t, web.URL+"/v1/completions", `{"prompt": "<s>5", "temperature": 0}`)
	require.Equal(t, want, at(v, "choices", 0, "text"), "the token that begins a text is not doubled")
	require.EqualValues(t, 2, at(v, "usage", "prompt_tokens"))
	_, v = post(t, web.URL+"/v1/completions", `{"prompt": "5", "temperature": 0, "echo": true, "max_tokens": 2}`)
	require.Equal(t, "5"+want.(string)[:2], at(v, "choices", 0, "text"))

	r, err := http.Post(web.URL+"/v1/completions", "application/json", strings.NewReader(`{"prompt": ["5", "1"], "temperature": 0, "stream": true}`))
	require.NoError(t, err)
	defer r.Body.Close()
	ends := 0
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		ends += strings.Count(lines.Text(), `"finish_reason":"stop"`)
	}
	require.Equal(t, 2, ends)
}

func TestLogProbsAndPenalties(t *testing.T) {
	web, s := start(t, DefaultLimits())
	_, v := post(t, web.URL+"/v1/completions", `{"prompt": "5", "temperature": 0, "max_tokens": 2, "logprobs": 3}`)
	require.Len(t, at(v, "choices", 0, "logprobs", "tokens"), 2)
	first := at(v, "choices", 0, "logprobs", "token_logprobs", 0).(float64)
	require.Less(t, first, 0.0)
	require.Greater(t, first, -0.7, "the likeliest token of a model that plays well")
	require.Len(t, at(v, "choices", 0, "logprobs", "top_logprobs", 0), 3)
	_, v = post(t, web.URL+"/v1/chat/completions", `{"messages": [{"role": "user", "content": "5"}], "temperature": 0, "max_tokens": 1, "logprobs": true, "top_logprobs": 2}`)
	require.InDelta(t, first, at(v, "choices", 0, "logprobs", "content", 0, "logprob").(float64), 1e-4)
	require.Len(t, at(v, "choices", 0, "logprobs", "content", 0, "top_logprobs"), 2)

	id, ok := s.model.Tokenizer.ID("9")
	require.True(t, ok)
	_, v = post(t, web.URL+"/v1/completions", `{"prompt": "5", "temperature": 0, "max_tokens": 3, "logit_bias": {"`+fmt.Sprint(id)+`": 100}}`)
	require.Equal(t, "999", at(v, "choices", 0, "text"))
	_, v = post(t, web.URL+"/v1/completions", `{"prompt": "5", "temperature": 0, "max_tokens": 3, "frequency_penalty": 2, "presence_penalty": 2}`)
	require.Len(t, at(v, "choices", 0, "text"), 3)
}

// What cannot be honoured is refused by name.
func TestRefusedFields(t *testing.T) {
	web, _ := start(t, DefaultLimits())
	for field, says := range map[string]string{
		`"tools": [{"type": "function"}]`: "tools", `"response_format": {"type": "json_object"}`: "response_format", `"suffix": "x"`: "suffix",
		`"best_of": 3`: "best_of", `"n": 0`: "n:", `"tool_choice": "required"`: "tool_choice", `"functions": [{}]`: "tools",
		`"logprobs": 9`: "logprobs", `"logit_bias": {"999": 1}`: "logit_bias", `"logit_bias": {"a": 1}`: "logit_bias", `"frequency_penalty": 9`: "frequency",
		`"echo": true, "logprobs": 1, "stream": true`: "echo", `"max_tokens": 0`: "max_tokens", `"truncation": "middle"`: "truncation", `"modalities": ["audio"]`: "modalities", `"temperature": "hot"`: "temperature",
	} {
		status, v := post(t, web.URL+"/v1/completions", `{"prompt": "5", `+field+`}`)
		require.Equal(t, 400, status, field)
		require.Contains(t, at(v, "error", "message"), says, field)
	}
	for _, field := range []string{`"tools": []`, `"response_format": {"type": "text"}`, `"tool_choice": "none"`, `"n": 1`, `"user": "me"`, `"unheard_of": 3`} {
		status, v := post(t, web.URL+"/v1/completions", `{"prompt": "5", "max_tokens": 1, `+field+`}`)
		require.Equal(t, 200, status, "%s: %v", field, v)
	}
}

func FuzzRequest(f *testing.F) {
	for _, seed := range []string{`{"prompt": "5"}`, `{"prompt": [1, 2]}`, `{"prompt": ["a", "b"], "stop": ["x"]}`, `{"messages": [{"role": "user", "content": "5"}]}`, `{"logprobs": true}`, `{"n": 1e9}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var q request
		if err := json.Unmarshal(body, &q); err != nil {
			return
		}
		_ = q.unsupported(true)
		_ = q.unsupported(false)
		_, _ = q.prompts()
		_, _ = stopStrings(q.Stop)
		for _, m := range q.Messages {
			_, _ = m.text()
		}
	})
}
