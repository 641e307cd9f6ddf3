// Command serverload crowds a `bitnet serve`: thousands of connections that say
// nothing, clients with prompts of a megabyte, clients that never read their
// answer, clients that leave in the middle of a prompt, and between them some that
// ask properly. Then hundreds ask at the same moment, several times. At the end SIGTERM
// comes while requests wait. It prints what happened, and fails if an answer was wrong,
// if requests were answered out of order, if memory grew or the server ended badly.
//
//	go run ./testdata/serverload -model runs/my_run -bitnet build/bitnet
//
// With -speed it measures instead how many tokens a second one client gets, and
// several clients together, in turns.
//
//	go run ./testdata/serverload -model runs/my_run -bitnet build/bitnet -speed 8
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	log, err := run()
	fmt.Print(log.String())
	if err != nil {
		fmt.Fprintln(os.Stderr, "serverload:", err)
		os.Exit(1)
	}
}

// load is a crowded server.
type load struct {
	addr   string
	right  string // the greedy answer to prompt
	mu     sync.Mutex
	counts map[string]map[string]int // answers by kind of client
	waits  []time.Duration           // of the clients that ask properly
	wrong  []string
}

const prompt = "Once upon a time"

func run() (*bytes.Buffer, error) {
	program := flag.String("bitnet", "build/bitnet", "the program")
	model := flag.String("model", "", "a run or model with a context of at least 256 tokens")
	idle := flag.Int("idle", 2000, "connections that say nothing")
	large := flag.Int("large", 200, "clients with a prompt of 1 MB")
	deaf := flag.Int("deaf", 50, "clients that never read a streamed answer")
	leave := flag.Int("leave", 50, "clients that leave in the middle of a prompt")
	proper := flag.Int("proper", 30, "clients that ask properly and try again when the server is busy")
	crowd := flag.Int("crowd", 200, "clients that ask at the same moment, three times")
	speed := flag.Int("speed", 0, "measure one client against so many, and nothing else")
	flag.Parse()
	out := &bytes.Buffer{}
	if *model == "" {
		return out, errors.New("name a model with -model")
	}
	folder, err := os.MkdirTemp("", "serverload-")
	if err != nil {
		return out, err
	}
	defer os.RemoveAll(folder)
	log := filepath.Join(folder, "requests.jsonl")
	cmd := exec.Command(*program, "serve", *model, "--addr", "127.0.0.1:0", "--log", log)
	said := &bytes.Buffer{}
	cmd.Stderr = said
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return out, err
	}
	if err := cmd.Start(); err != nil {
		return out, err
	}
	ended := make(chan error, 1)
	defer cmd.Process.Kill()
	lines := bufio.NewReader(pipe)
	line, err := lines.ReadString('\n')
	go func() {
		_, _ = io.Copy(io.Discard, lines)
		ended <- cmd.Wait()
	}()
	m := regexp.MustCompile(`http://([0-9.:]+)/v1`).FindStringSubmatch(line)
	if m == nil {
		return out, fmt.Errorf("the server does not start: %v %s", err, said)
	}
	l := &load{addr: m[1], counts: map[string]map[string]int{}}
	status, text, _, err := l.ask(prompt, 24, time.Minute)
	if err != nil || status != http.StatusOK {
		return out, fmt.Errorf("the first answer: %d %v %s", status, err, text)
	}
	l.right = text
	if *speed > 0 {
		return out, l.measure(out, *speed)
	}
	pid := cmd.Process.Pid
	before := memory(pid, "VmRSS")

	for range *idle {
		c, err := net.Dial("tcp", l.addr)
		if err != nil {
			l.count("idle", "not connected")
			continue
		}
		l.count("idle", "connected")
		defer c.Close()
	}
	var clients sync.WaitGroup
	each := func(n int, client func()) {
		for range n {
			clients.Go(client)
		}
	}
	each(*large, l.sendMegabyte)
	each(*deaf, l.neverRead)
	each(*leave, l.leaveEarly)
	each(*proper, l.askProperly)
	clients.Wait()
	var after [3]int
	began := time.Now()
	for i := range after {
		each(*crowd, func() { l.askOnce("crowd") })
		clients.Wait()
		after[i] = memory(pid, "VmRSS")
	}
	if err := inOrder(log, began); err != nil {
		return out, err
	}
	peak := memory(pid, "VmHWM")

	// SIGTERM while one request is answered and others wait.
	each(12, func() { l.askOnce("at SIGTERM") })
	time.Sleep(30 * time.Millisecond)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return out, err
	}
	stopped := time.Now()
	clients.Wait()
	select {
	case err = <-ended:
	case <-time.After(time.Minute):
		return out, errors.New("the server does not end after SIGTERM")
	}
	took := time.Since(stopped)

	for _, kind := range []string{"idle", "1 MB prompt", "never reads", "leaves", "proper", "crowd", "at SIGTERM"} {
		fmt.Fprintf(out, "%-12s %v\n", kind, l.counts[kind])
	}
	slices.Sort(l.waits)
	if n := len(l.waits); n > 0 {
		fmt.Fprintf(out, "proper clients waited %.1f s at most, %.1f s in the median\n", l.waits[n-1].Seconds(), l.waits[n/2].Seconds())
	}
	fmt.Fprintf(out, "memory after each crowd: %d, %d, %d MiB\n", after[0]>>10, after[1]>>10, after[2]>>10)
	fmt.Fprintf(out, "memory %d MiB before, %d MiB at most; ended %.1f s after SIGTERM: %v\n", before>>10, peak>>10, took.Seconds(), err)
	switch {
	case len(l.wrong) > 0:
		return out, fmt.Errorf("%d wrong answers, the first: %s", len(l.wrong), l.wrong[0])
	case err != nil:
		return out, fmt.Errorf("the server ended with %w: %s", err, said)
	case strings.Contains(said.String(), "goroutine "):
		return out, fmt.Errorf("the server crashed: %s", said)
	case l.counts["crowd"]["connection closed"] > 0:
		return out, errors.New("a client of the crowd was neither answered nor refused")
	case after[2] > after[0]+after[0]/10+16<<10:
		return out, errors.New("memory grows with each crowd")
	case l.counts["proper"]["right"] != *proper:
		return out, errors.New("a client that asked properly got no answer")
	}
	return out, nil
}

// memory reads a value in KiB of /proc/PID/status, 0 where there is none.
func memory(pid int, key string) int {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid)) // other systems have none
	m := regexp.MustCompile(key + `:\s*([0-9]+) kB`).FindSubmatch(text)
	n := 0
	if m != nil {
		fmt.Sscan(string(m[1]), &n)
	}
	return n
}

func (l *load) count(kind, what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.counts[kind] == nil {
		l.counts[kind] = map[string]int{}
	}
	l.counts[kind][what]++
}

func body(prompt string, tokens int, stream bool) []byte {
	b, _ := json.Marshal(map[string]any{"prompt": prompt, "max_tokens": tokens, "temperature": 0, "stream": stream}) // strings and numbers always encode
	return b
}

// ask sends one request and returns the text of the answer or of the error.
func (l *load) ask(prompt string, tokens int, limit time.Duration) (status int, text string, header http.Header, err error) {
	client := http.Client{Timeout: limit, Transport: &http.Transport{DisableKeepAlives: true}}
	r, err := client.Post("http://"+l.addr+"/v1/completions", "application/json", bytes.NewReader(body(prompt, tokens, false)))
	if err != nil {
		return 0, "", nil, err
	}
	defer r.Body.Close()
	all, err := io.ReadAll(r.Body)
	if err != nil {
		return 0, "", nil, err
	}
	var a struct {
		Choices []struct{ Text string }
		Error   struct{ Message string }
	}
	if err := json.Unmarshal(all, &a); err != nil {
		return r.StatusCode, "", r.Header, fmt.Errorf("not JSON: %q", all)
	}
	if len(a.Choices) == 1 {
		return r.StatusCode, a.Choices[0].Text, r.Header, nil
	}
	return r.StatusCode, a.Error.Message, r.Header, nil
}

// judge counts an answer, and keeps it if it is wrong.
func (l *load) judge(kind string, status int, text string, header http.Header, err error) {
	switch {
	case err != nil:
		l.count(kind, "connection closed")
	case status == http.StatusOK && text == l.right:
		l.count(kind, "right")
	case status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests:
		l.count(kind, fmt.Sprint(status))
		if header.Get("Retry-After") == "" {
			l.blame(kind, "%d without Retry-After", status)
		}
	case status >= 400 && text != "":
		l.count(kind, fmt.Sprint(status))
	default:
		l.blame(kind, "%d %q", status, text)
	}
}

func (l *load) blame(kind, format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wrong = append(l.wrong, kind+": "+fmt.Sprintf(format, args...))
}

func (l *load) askOnce(kind string) {
	status, text, header, err := l.ask(prompt, 24, 5*time.Minute)
	l.judge(kind, status, text, header, err)
}

func (l *load) askProperly() {
	began := time.Now()
	for time.Since(began) < 10*time.Minute {
		status, text, header, err := l.ask(prompt, 24, 5*time.Minute)
		if err == nil && (status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests) {
			l.count("proper", fmt.Sprintf("asked again after %d", status))
			time.Sleep(time.Second)
			continue
		}
		l.judge("proper", status, text, header, err)
		break
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waits = append(l.waits, time.Since(began))
}

// sendMegabyte has a prompt that fits the bound of a request, but no context.
func (l *load) sendMegabyte() {
	long := strings.Repeat("Once upon a time there was a cat. ", (1<<20-200)/34)
	status, text, header, err := l.ask(long, 8, 10*time.Minute)
	if err == nil && status == http.StatusOK {
		l.blame("1 MB prompt", "answered with 200")
	}
	l.judge("1 MB prompt", status, text, header, err)
}

// request sends the head and body of a completion over a connection of its own.
func (l *load) request(b []byte) (net.Conn, error) {
	c, err := net.Dial("tcp", l.addr)
	if err != nil {
		return nil, err
	}
	_ = c.(*net.TCPConn).SetReadBuffer(4096) // as small as the system allows
	_, err = fmt.Fprintf(c, "POST /v1/completions HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", l.addr, len(b), b)
	return c, err
}

// neverRead asks for a long stream, and reads nothing until the others are done.
func (l *load) neverRead() {
	c, err := l.request(body(prompt, 1024, true))
	if err != nil {
		l.count("never reads", "refused")
		return
	}
	defer c.Close()
	time.Sleep(45 * time.Second) // longer than the server lets a client take for a piece
	l.count("never reads", "asked")
}

// leaveEarly closes its connection while its prompt is read.
func (l *load) leaveEarly() {
	c, err := l.request(body(strings.Repeat("a cat and ", 60), 64, false))
	if err == nil {
		time.Sleep(50 * time.Millisecond)
		c.Close()
		l.count("leaves", "left")
		return
	}
	l.count("leaves", "refused")
}
