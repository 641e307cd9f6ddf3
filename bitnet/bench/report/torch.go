package report

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"bitnet/testdata"
)

// torchModes are the ways in which PyTorch is measured.
func torchModes(cpu bool) []string {
	if cpu {
		return []string{"f32", "compiled"}
	}
	return []string{"f32", "tf32", "bf16", "compiled"}
}

// findTorch finds a Python with a PyTorch that computes on the card, and else says
// why there is none.
func findTorch(ctx context.Context, cpu bool) (python, why string) {
	python, err := exec.LookPath("python3")
	if err != nil {
		return "", "there is no python3 on this machine"
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute) // the import alone takes seconds
	defer cancel()
	out, err := exec.CommandContext(ctx, python, "-c", "import torch; print(torch.cuda.is_available())").Output()
	switch {
	case err != nil:
		return "", python + " has no PyTorch"
	case strings.TrimSpace(string(out)) != "True" && !cpu:
		return "", "the PyTorch of " + python + " has no CUDA device"
	}
	return python, ""
}

// torch measures the step of Target with the script that make bench-torch uses.
func (w *worker) torch() error {
	dir, err := os.MkdirTemp("", "bitnet-report-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	script := filepath.Join(dir, "bench_torch.py")
	if err := os.WriteFile(script, testdata.BenchTorch, 0o600); err != nil {
		return err
	}
	t := w.Target
	args := []string{script, "--exp", t.Experiment, "--batch", strconv.Itoa(t.BatchSize), "--seq", strconv.Itoa(t.SeqLen), "--accum", strconv.Itoa(t.GradAccum), "--act", "silu", "--steps", "5", "--warmup", "2"}
	if w.Mode == "compiled" {
		args = append(args, "--compile", "--precision", "bf16")
	} else {
		args = append(args, "--precision", w.Mode)
	}
	cmd := exec.CommandContext(w.ctx, w.Python, args...)
	cmd.WaitDelay = time.Second
	words := &lastWords{}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, words
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("PyTorch ended (%w)%s", err, words)
	}
	var found struct {
		Torch     string  `json:"torch"`
		Device    string  `json:"device"`
		PerSecond float64 `json:"tokens_per_s"`
		StepMS    float64 `json:"step_ms"`
		Memory    float64 `json:"peak_memory_mib"`
	}
	if err := json.Unmarshal(out.Bytes(), &found); err != nil || found.PerSecond <= 0 {
		return errors.New("PyTorch gave no figures: " + cmp.Or(strings.TrimSpace(out.String()), "it printed nothing"))
	}
	return w.show(Result{Torch: &Torch{found.Torch, found.Device, w.Mode, t.Experiment, t.BatchSize, t.SeqLen, t.GradAccum, found.PerSecond, found.StepMS, found.Memory}})
}
