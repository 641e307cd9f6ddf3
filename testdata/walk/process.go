package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// Why a stage is left out.
var (
	errNotWindows = errors.New("only on Windows")
	errWine       = errors.New("not under Wine")
)

// patience is how long a command may take. Emulators are slow.
const patience = 4 * time.Minute

// walk is where a user stands: in a folder, with the program.
type walk struct {
	program string
	dir     string
	steps   int
}

// process is a command that was started.
type process struct {
	*exec.Cmd
	out  lockedBuffer
	done chan error
}

// lockedBuffer collects what a command prints while it may be read.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start starts a command of bitnet in the walk's folder.
func (w *walk) start(args ...string) (*process, error) {
	p := &process{Cmd: exec.Command(w.program, args...), done: make(chan error, 1)}
	p.Dir, p.Stdout, p.Stderr = w.dir, &p.out, &p.out
	ownGroup(p.Cmd)
	if err := p.Start(); err != nil {
		return nil, err
	}
	go func() { p.done <- p.Wait() }()
	return p, nil
}

// end waits for a command and gives its exit code.
func (p *process) end() (int, error) {
	select {
	case <-p.done:
		return p.ProcessState.ExitCode(), nil
	case <-time.After(patience):
		_ = p.Process.Kill()
		<-p.done
		return 0, fmt.Errorf("%s does not end: %s", strings.Join(p.Args[1:], " "), tail(p.out.String()))
	}
}

// until waits for something that a command does while it runs.
func (p *process) until(what string, happened func() bool) error {
	for began := time.Now(); !happened(); time.Sleep(20 * time.Millisecond) {
		select {
		case err := <-p.done:
			p.done <- err
			return fmt.Errorf("%s ended before %s: %s", strings.Join(p.Args[1:], " "), what, tail(p.out.String()))
		default:
		}
		if time.Since(began) > patience {
			_ = p.Process.Kill()
			return fmt.Errorf("%s: waited in vain for %s: %s", strings.Join(p.Args[1:], " "), what, tail(p.out.String()))
		}
	}
	return nil
}

// bitnet runs a command that must succeed, with some input, and gives what it prints
// to its output.
func (w *walk) bitnet(input string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, w.program, args...)
	c.Dir, c.Stdin = w.dir, strings.NewReader(input)
	var out, messages bytes.Buffer
	c.Stdout, c.Stderr = &out, &messages
	if err := c.Run(); err != nil {
		return "", fmt.Errorf("bitnet %s: %w: %s%s", strings.Join(args, " "), err, tail(out.String()), tail(messages.String()))
	}
	return out.String(), nil
}

// must checks that a text has some parts.
func must(text string, parts ...string) error {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return fmt.Errorf("no %q in: %s", part, tail(text))
		}
	}
	return nil
}

// tail is the end of a text, for a message.
func tail(text string) string {
	const most = 1500
	if len(text) > most {
		text = "..." + text[len(text)-most:]
	}
	return text
}

// exists is for until.
func exists(path string) func() bool {
	return func() bool {
		_, err := os.Stat(path)
		return err == nil
	}
}
