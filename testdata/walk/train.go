package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// The run that the others are compared with.
const whole = "whole"

func look(w *walk) error {
	out, err := w.bitnet("", "version")
	if err != nil {
		return err
	}
	if err := must(out, "bitnet "); err != nil {
		return err
	}
	fmt.Print(out)
	if out, err = w.bitnet("", "devices"); err != nil {
		return err
	}
	fmt.Print(out)
	if err := must(out, "training uses"); err != nil {
		return err
	}
	if out, err = w.bitnet("", "doctor"); err != nil {
		return err
	}
	return must(out, "its result is correct")
}

// training are the arguments of a run that saves a checkpoint every 20 steps.
func (w *walk) training(run string, more ...string) []string {
	return append([]string{"train", "--exp", "simple", "--run-id", run, "--num-steps", strconv.Itoa(w.steps),
		"--checkpoint-interval", "20", "--log-interval", "1", "--eval-interval", "0", "--sample-interval", "0"}, more...)
}

func (w *walk) checkpoint(run string, step int) string {
	return filepath.Join(w.dir, "runs", run, "checkpoints", fmt.Sprintf("step_%08d", step))
}

func train(w *walk) error {
	if _, err := w.bitnet("", w.training(whole)...); err != nil {
		return err
	}
	if !exists(w.checkpoint(whole, w.steps))() {
		return fmt.Errorf("there is no checkpoint of the last step")
	}
	if exists(w.checkpoint(whole, 20))() {
		return fmt.Errorf("the first checkpoint is still there: the run keeps three")
	}
	return nil
}

// killAndResume kills a run twice and ends it; it must be the undisturbed run.
func killAndResume(w *walk) error {
	args := w.training("killed")
	for _, after := range []int{40, 80} {
		p, err := w.start(args...)
		if err != nil {
			return err
		}
		if err := p.until("its checkpoint", exists(w.checkpoint("killed", after))); err != nil {
			return err
		}
		if err := p.Process.Kill(); err != nil {
			return err
		}
		if code, err := p.end(); err != nil || code == 0 {
			return fmt.Errorf("it ended with code %d before it was killed, %v: a fast adapter needs more -steps", code, err)
		}
		args = []string{"train", "--resume", "killed"}
	}
	if _, err := w.bitnet("", args...); err != nil {
		return err
	}
	return w.same("killed")
}

func interrupt(w *walk) error {
	p, err := w.start(w.training("stopped", "--checkpoint-interval", "0")...)
	if err != nil {
		return err
	}
	if err := p.until("its first steps", func() bool { return strings.Contains(p.out.String(), "step 10") || w.logged("stopped") > 10 }); err != nil {
		return err
	}
	if err := stop(p.Process); err != nil {
		_ = p.Process.Kill()
		return err
	}
	code, err := p.end()
	if err != nil {
		return err
	}
	if code != 130 {
		return fmt.Errorf("it ended with code %d, not 130: %s", code, tail(p.out.String()))
	}
	if _, err := w.bitnet("", "train", "--resume", "stopped"); err != nil {
		return err
	}
	return w.same("stopped")
}

// logged counts the lines of a run's metrics.
func (w *walk) logged(run string) int {
	text, err := os.ReadFile(filepath.Join(w.dir, "runs", run, "logs", "metrics.jsonl"))
	if err != nil {
		return 0
	}
	return bytes.Count(text, []byte("\n"))
}

// same compares a run's last checkpoint with the undisturbed one: weights and optimizer, to the bit.
func (w *walk) same(run string) error {
	for _, name := range []string{"model.safetensors", "optimizer.safetensors"} {
		want, err := os.ReadFile(filepath.Join(w.checkpoint(whole, w.steps), name))
		if err != nil {
			return err
		}
		got, err := os.ReadFile(filepath.Join(w.checkpoint(run, w.steps), name))
		if err != nil {
			return err
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("%s of %s is not that of an undisturbed run", name, run)
		}
	}
	return nil
}

// twoAtOnce trains a run with two processes, of which one is refused.
func twoAtOnce(w *walk) error {
	p, err := w.start(w.training("shared")...)
	if err != nil {
		return err
	}
	if err := p.until("its checkpoint", exists(w.checkpoint("shared", 20))); err != nil {
		return err
	}
	second, err := w.start("train", "--resume", "shared")
	if err != nil {
		return err
	}
	code, err := second.end()
	if err != nil {
		return err
	}
	refused := fmt.Sprintf("process %d", p.Process.Pid)
	if code != 1 {
		return fmt.Errorf("a second process ended with code %d, not 1: %s", code, tail(second.out.String()))
	}
	if err := must(second.out.String(), refused, "is training"); err != nil {
		return err
	}
	if code, err := p.end(); err != nil || code != 0 {
		return fmt.Errorf("the first process ended with code %d, %v: %s", code, err, tail(p.out.String()))
	}
	return nil
}

// openFiles keeps files of a run open while it replaces and removes them. Windows does not allow
// that, so that training has to wait or to leave them for later; it must not end.
func openFiles(w *walk) error {
	p, err := w.start(w.training("open")...)
	if err != nil {
		return err
	}
	old := filepath.Join(w.checkpoint("open", 20), "model.safetensors")
	if err := p.until("its checkpoint", exists(old)); err != nil {
		return err
	}
	model, err := os.Open(old)
	if err != nil {
		return fmt.Errorf("opening a file of the run: %w", err)
	}
	defer model.Close()
	alive, err := os.Open(filepath.Join(w.dir, "runs", "open", "logs", "alive.json"))
	if err == nil {
		defer alive.Close()
	}
	if code, err := p.end(); err != nil || code != 0 {
		return fmt.Errorf("training ended with code %d, %v: %s", code, err, tail(p.out.String()))
	}
	_ = model.Close()
	if alive != nil {
		_ = alive.Close()
	}
	again, err := w.start("train", "--resume", "open", "--num-steps", strconv.Itoa(w.steps+20))
	if err != nil {
		return err
	}
	if code, err := again.end(); err != nil || code != 0 {
		return fmt.Errorf("resuming ended with code %d, %v: %s", code, err, tail(again.out.String()))
	}
	entries, err := os.ReadDir(filepath.Join(w.dir, "runs", "open", "checkpoints"))
	if err != nil {
		return err
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), "step_00000020") {
			return fmt.Errorf("%s, which is not open any more, is still there: %s", e.Name(), tail(p.out.String()+again.out.String()))
		}
	}
	return nil
}
