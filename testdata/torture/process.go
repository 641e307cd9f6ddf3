package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// program is the bitnet that is disturbed, and where it may write what belongs to
// no command: its caches.
type program struct {
	path, folder string
}

// patience is how long a command may take before it counts as hung. None takes
// longer than a few seconds on an idle machine.
const patience = 4 * time.Minute

// process is a command that runs in a process group of its own.
type process struct {
	cmd    *exec.Cmd
	err    bytes.Buffer
	began  time.Time
	done   chan struct{} // closed when it has ended
	result result        // then
}

// result is how a command ended.
type result struct {
	code   int            // of its exit, -1 if a signal ended it
	signal syscall.Signal // that ended it, or 0
	took   time.Duration
	said   string // on standard error
	hung   bool   // it was killed for taking too long
}

// start starts bitnet with some words before it on the command line, such as those
// of strace.
func (p *program) start(before []string, args ...string) (*process, error) {
	return p.startTo(nil, before, args...)
}

// startTo sends the standard output to a file, nil for nowhere.
func (p *program) startTo(out *os.File, before []string, args ...string) (*process, error) {
	words := append(append(before[:len(before):len(before)], p.path), args...)
	r := &process{cmd: exec.Command(words[0], words[1:]...), began: time.Now(), done: make(chan struct{})}
	r.cmd.Env = append(os.Environ(),
		"BITNET_TUNING="+filepath.Join(p.folder, "tuning"), "XDG_CACHE_HOME="+filepath.Join(p.folder, "cache"), "HF_HUB_OFFLINE=1")
	r.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if r.cmd.Stderr = &r.err; out != nil {
		r.cmd.Stdout = out
	}
	r.cmd.WaitDelay = 5 * time.Second
	if err := r.cmd.Start(); err != nil {
		return nil, err
	}
	go r.wait()
	return r, nil
}

func (r *process) wait() {
	limit := time.AfterFunc(patience, func() {
		r.result.hung = true
		r.send(syscall.SIGKILL)
	})
	err := r.cmd.Wait()
	limit.Stop()
	r.result.took, r.result.said = time.Since(r.began), r.err.String()
	var exit *exec.ExitError
	switch {
	case err == nil:
	case errors.As(err, &exit):
		r.result.code = exit.ExitCode()
		if s, ok := exit.Sys().(syscall.WaitStatus); ok && s.Signaled() {
			r.result.signal = s.Signal()
		}
	default:
		r.result.code, r.result.said = 1, err.Error()
	}
	close(r.done)
}

// send sends a signal to the process and all that it started.
func (r *process) send(s syscall.Signal) { _ = syscall.Kill(-r.cmd.Process.Pid, s) }

// ended reports whether the process has ended.
func (r *process) ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// end waits for the end.
func (r *process) end() result {
	<-r.done
	return r.result
}

// pause waits, but no longer than until the process ends.
func (r *process) pause(d time.Duration) {
	select {
	case <-r.done:
	case <-time.After(d):
	}
}

// run runs bitnet undisturbed.
func (p *program) run(args ...string) (result, error) {
	r, err := p.start(nil, args...)
	if err != nil {
		return result{}, err
	}
	return r.end(), nil
}

// complaint is what is wrong with the way a command ended, or "": an error must be
// one line that begins with the program's name, and never a trace of its goroutines.
func (r result) complaint() string {
	for _, bad := range []string{"panic:", "fatal error:", "goroutine ", "fault of bitnet"} {
		if strings.Contains(r.said, bad) {
			return "it crashed: " + r.said
		}
	}
	errorLines := 0
	for _, line := range strings.Split(r.said, "\n") {
		if strings.HasPrefix(line, "bitnet: ") {
			errorLines++
		}
	}
	switch {
	case r.hung:
		return "it hung"
	case r.signal != 0 && r.signal != syscall.SIGKILL && r.signal != syscall.SIGTERM:
		return "it ended with the signal " + r.signal.String() + ": " + r.said
	case (r.code == 1 || r.code == 2) && errorLines != 1:
		return "it failed without one clear line: " + r.said
	case r.code > 2 && r.code != 130 && r.code != 128+9 && r.code != 128+15:
		return "it ended with a code of its own: " + r.said
	}
	return ""
}
