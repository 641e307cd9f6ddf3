package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"
)

// serveAttack lets clients of every kind talk to `bitnet serve`, and ends it at a
// random moment. It has no result to compare: each answer is the right one or an
// error, and the server never crashes.
func serveAttack() *attack {
	s := &servant{answers: map[string]string{}}
	return &attack{
		name: "serve", weight: 1,
		inputs: func(a *attack, _ string) error {
			if len(s.answers) > 0 {
				return nil
			}
			if err := a.program.model(); err != nil {
				return err
			}
			return s.learn(a)
		},
		instead: s.round,
	}
}

// servant is what is known of the answers of the server.
type servant struct {
	answers map[string]string // the text of a greedy answer, by its prompt
}

var address = regexp.MustCompile(`http://[0-9.:]+/v1`)

// open starts a server on a port and waits until it listens.
func (s *servant) open(a *attack, port string) (*process, string, error) {
	out, err := os.CreateTemp(a.folder, "serve-*.out")
	if err != nil {
		return nil, "", err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	p, err := a.program.startTo(out, nil, "serve", modelIn(a.program.folder), "--addr", "127.0.0.1:"+port)
	if err != nil {
		return nil, "", err
	}
	for !p.ended() {
		text, err := os.ReadFile(out.Name())
		if err != nil {
			return nil, "", err
		}
		if url := address.FindString(string(text)); url != "" {
			return p, url, nil
		}
		p.pause(5 * time.Millisecond)
	}
	return p, "", nil
}

// learn asks an undisturbed server for the answers.
func (s *servant) learn(a *attack) error {
	p, url, err := s.open(a, "0")
	if err != nil || url == "" {
		return fmt.Errorf("the server does not start: %v %s", err, p.end().said)
	}
	defer p.end()
	defer p.send(syscall.SIGTERM)
	for _, prompt := range []string{"0 1", "1 2 3", "5", "7 8 9 10 11", "2 3 4 5"} {
		status, text, err := ask(url, completion(prompt, false))
		if err != nil || status != 200 {
			return fmt.Errorf("asking for %q: %d %v %s", prompt, status, err, text)
		}
		s.answers[prompt] = text
	}
	return nil
}

func completion(prompt string, stream bool) []byte {
	text, _ := json.Marshal(map[string]any{"prompt": prompt, "max_tokens": 12, "temperature": 0, "stream": stream}) // strings and numbers always encode
	return text
}

// ask sends a completion and returns the status and the text of the answer, or of
// the error.
func ask(url string, body []byte) (status int, text string, err error) {
	client := http.Client{Timeout: patience}
	r, err := client.Post(url+"/completions", "application/json", bytes.NewReader(body))
	if err != nil {
		return 0, "", err
	}
	defer r.Body.Close()
	all, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, "", err
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "text/event-stream") {
		text, err := streamed(all)
		return r.StatusCode, text, err
	}
	var answer struct {
		Choices []struct{ Text string }
		Error   *struct{ Message string }
	}
	if err := json.Unmarshal(all, &answer); err != nil {
		return r.StatusCode, "", fmt.Errorf("the answer is not JSON: %q", all)
	}
	switch {
	case answer.Error != nil:
		return r.StatusCode, answer.Error.Message, nil
	case len(answer.Choices) == 1:
		return r.StatusCode, answer.Choices[0].Text, nil
	}
	return r.StatusCode, "", fmt.Errorf("an answer without text or error: %q", all)
}

var errCut = errors.New("the stream was cut")

// streamed joins the text of a stream of events.
func streamed(all []byte) (string, error) {
	text, whole := "", false
	for _, line := range strings.Split(string(all), "\n") {
		data, ok := strings.CutPrefix(line, "data: ")
		if !ok {
			continue
		}
		if data == "[DONE]" {
			whole = true
			continue
		}
		var event struct {
			Choices []struct{ Text string }
			Error   *struct{ Message string }
		}
		if err := json.Unmarshal([]byte(data), &event); err != nil {
			return "", errCut
		}
		if event.Error != nil {
			return "", errCut
		}
		for _, c := range event.Choices {
			text += c.Text
		}
	}
	if !whole {
		return "", errCut
	}
	return text, nil
}

// round is the life of one server.
func (s *servant) round(a *attack, dir string, rng *rand.Rand, end time.Time) (c counts, failures []*failure) {
	var mu sync.Mutex
	note := func(w what, format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		failures = append(failures, failed(w, format, args...))
	}
	p, url, err := s.open(a, "0")
	c.starts++
	if err != nil || url == "" {
		note(badMessage, "the server does not start: %v %s", err, p.end().said)
		return c, failures
	}
	// Now and then a second server wants the same port.
	if rng.IntN(4) == 0 {
		port := url[strings.LastIndex(url, ":")+1 : strings.LastIndex(url, "/")]
		q, other, err := s.open(a, port)
		c.starts++
		c.did[twice]++
		if err != nil || other != "" {
			note(badMessage, "two servers on one port: %v", err)
		} else if bad := q.end().complaint(); bad != "" {
			note(badMessage, "%s", bad)
		}
	}
	stop := make(chan struct{})
	var ending bool // the server was told to end
	isEnding := func() bool { mu.Lock(); defer mu.Unlock(); return ending }
	var clients sync.WaitGroup
	for i := range 1 + rng.IntN(6) {
		own := rand.New(rand.NewPCG(rng.Uint64(), uint64(i)))
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if bad := s.client(url, own, isEnding); bad != "" {
					note(wrongResult, "%s", bad)
				}
			}
		})
	}
	p.pause(time.Duration(rng.Float64() * float64(min(4*time.Second, max(time.Until(end), 0)))))
	mu.Lock()
	ending = true
	mu.Unlock()
	if rng.IntN(2) == 0 {
		c.did[kill]++
		p.send(syscall.SIGKILL)
	} else {
		c.did[terminate]++
		p.send(syscall.SIGTERM)
	}
	close(stop)
	r := p.end()
	clients.Wait()
	if bad := r.complaint(); bad != "" {
		note(badMessage, "%s", bad)
	}
	return c, failures
}

// client does one thing that a client may do, and returns what was wrong with the
// server's answer, or "".
func (s *servant) client(url string, rng *rand.Rand, ending func() bool) string {
	var prompts []string
	for p := range s.answers {
		prompts = append(prompts, p)
	}
	prompt := prompts[rng.IntN(len(prompts))]
	switch rng.IntN(10) {
	case 4: // it is a web page of another site, whose name now leads here
		body := completion(prompt, false)
		raw := fmt.Sprintf("POST /v1/completions HTTP/1.1\r\nHost: attacker.example\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		if answer := talk(url, []byte(raw)); answer != "" && !strings.HasPrefix(answer, "HTTP/1.1 403") && !ending() {
			return fmt.Sprintf("a page of another site is answered with %.200q", answer)
		}
		return ""
	case 0: // it leaves in the middle
		body := completion(prompt, true)
		raw := fmt.Sprintf("POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		send(url, []byte(raw)[:1+rng.IntN(len(raw))], time.Duration(rng.IntN(50))*time.Millisecond)
		return ""
	case 1: // it speaks no HTTP
		noise := make([]byte, 1+rng.IntN(4096))
		for i := range noise {
			noise[i] = byte(rng.IntN(256))
		}
		send(url, noise, time.Millisecond)
		return ""
	case 2: // it sends a body that is damaged
		body := completion(prompt, false)
		for range 1 + rng.IntN(3) {
			body[rng.IntN(len(body))] = byte(rng.IntN(256))
		}
		if status, text, err := ask(url, body); err == nil && status >= 500 && status != http.StatusServiceUnavailable && !ending() {
			return fmt.Sprintf("the status of %q is %d: %s", body, status, text)
		}
		return ""
	case 3: // it asks for what no server can do
		key := []string{"max_tokens", "n", "temperature", "top_p", "top_k", "best_of", "logprobs", "seed", "repetition_penalty"}[rng.IntN(9)]
		value := []string{"-1", "-9223372036854775808", "1e400", "99999999999999999999", "null", `"x"`, "[]", "NaN", "0.5"}[rng.IntN(9)]
		body := fmt.Appendf(nil, `{"prompt": %q, "max_tokens": 4, %q: %s}`, prompt, key, value)
		if status, text, err := ask(url, body); err == nil && status >= 500 && status != http.StatusServiceUnavailable && !ending() {
			return fmt.Sprintf("the status of %s is %d: %s", body, status, text)
		}
		return ""
	}
	status, text, err := ask(url, completion(prompt, rng.IntN(2) == 0))
	switch {
	case err != nil && !ending():
		return fmt.Sprintf("asking for %q: %v", prompt, err)
	case err != nil || status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests:
		return ""
	case status != http.StatusOK:
		return fmt.Sprintf("the status of a right question is %d: %s", status, text)
	case text != s.answers[prompt]:
		return fmt.Sprintf("%q is answered with %q, undisturbed with %q", prompt, text, s.answers[prompt])
	}
	return ""
}

// send writes bytes to the server and leaves after a time.
func send(url string, text []byte, wait time.Duration) {
	c, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/v1"))
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = c.Write(text)
	time.Sleep(wait)
}

// talk sends bytes to the server and returns what it sends until it closes.
func talk(url string, text []byte) string {
	c, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/v1"))
	if err != nil {
		return ""
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(patience))
	if _, err := c.Write(text); err != nil {
		return ""
	}
	answer, _ := io.ReadAll(c) // a server that is killed sends a part
	return string(answer)
}
