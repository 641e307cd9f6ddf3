package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"bitnet/bitnet/runs"
)

const trainSteps = 60

// trainFlags make a run that takes about a second, most of it to begin.
var trainFlags = []string{
	"--exp", "simple", "--run-id", "run", "--quiet", "--tuning", "off",
	"--set", "hidden_size=16", "--set", "intermediate_size=24", "--set", "num_attention_heads=2", "--set", "num_key_value_heads=1", "--set", "num_hidden_layers=1",
	"--set", fmt.Sprint("steps=", trainSteps), "--set", "batch_size=2", "--set", "seq_len=24", "--set", "grad_accum=1",
	"--set", "checkpoint_interval=3", "--set", "eval_interval=15", "--set", "eval_samples=2", "--set", "sample_interval=20",
}

// trainAttack disturbs a run that logs every so many steps and saves every third,
// and resumes it.
func trainAttack(name string, interval int) *attack {
	return &attack{
		name: name, weight: 3, most: 8, alone: true, unstopped: interval > 1, // where it is stopped it has one more line
		inputs: func(*attack, string) error { return nil },
		args: func(dir string) ([]string, error) {
			run := runs.Run{Dir: filepath.Join(dir, "run")}
			if len(run.Checkpoints()) > 0 {
				return []string{"train", "--runs-dir", dir, "--resume", run.Dir, "--quiet"}, nil
			}
			// It was disturbed before its first checkpoint: there is nothing to resume.
			if err := os.RemoveAll(run.Dir); err != nil {
				return nil, err
			}
			return append([]string{"train", "--runs-dir", dir, "--log-interval", fmt.Sprint(interval)}, trainFlags...), nil
		},
		moving: func(dir string) int64 {
			info, err := os.Stat(filepath.Join(dir, "run", "logs", "metrics.jsonl"))
			if err != nil {
				return 0
			}
			return info.Size()
		},
		whole: func(_ *attack, dir string) *failure {
			run := runs.Run{Dir: filepath.Join(dir, "run")}
			for _, c := range run.Checkpoints() {
				if _, err := runs.ReadState(c, "model.safetensors", "optimizer.safetensors"); err != nil {
					return failed(tornFile, "%v", err)
				}
			}
			_, f := readLog(filepath.Join(run.Dir, "logs", "metrics.jsonl"), false)
			return f
		},
		equal: func(a *attack, dir string, stopped bool) *failure {
			got, want := filepath.Join(dir, "run"), filepath.Join(a.reference, "run")
			last := filepath.Join("checkpoints", fmt.Sprintf("step_%08d", trainSteps))
			if _, err := runs.ReadState(filepath.Join(got, last)); err != nil {
				return failed(tornFile, "%v", err)
			}
			if f := sameFolder(filepath.Join(got, last), filepath.Join(want, last)); f != nil {
				return f
			}
			for _, name := range []string{"metrics", "eval", "samples"} {
				name = filepath.Join("logs", name+".jsonl")
				g, f := readLog(filepath.Join(got, name), true)
				if f != nil {
					return f
				}
				w, f := readLog(filepath.Join(want, name), true)
				if f != nil {
					return f
				}
				// A run that SIGTERM stops at its very last step has no last evaluation.
				if stopped && !strings.Contains(name, "metrics") && len(g) < len(w) && w[len(g)].step == trainSteps {
					w = w[:len(g)]
				}
				if f := sameLines(filepath.Join(got, name), g, w); f != nil {
					return f
				}
			}
			return nil
		},
		// One more step than the run has.
		sweep: func(dir string) []string {
			return []string{"train", "--runs-dir", dir, "--resume", filepath.Join(dir, "run"), "--quiet", "--num-steps", fmt.Sprint(trainSteps + 1)}
		},
	}
}

// Times and memory differ from run to run, and which lines have the ternary shares
// depends on where a run was stopped.
var differ = []string{"step_time_ms", "tokens_per_sec", "device_memory_bytes", "ternary", "seconds"}

// logLine is a line of a log without what may differ.
type logLine struct {
	step int64
	text string
}

// readLog reads a log. A last line that is half written is passed over, unless the
// run has finished.
func readLog(path string, finished bool) (lines []logLine, f *failure) {
	file, err := os.Open(path)
	if os.IsNotExist(err) && !finished {
		return nil, nil
	}
	if err != nil {
		return nil, failed(wrongLines, "%v", err)
	}
	defer file.Close()
	r := bufio.NewReader(file)
	for last := int64(0); ; {
		text, err := r.ReadString('\n')
		if err != nil && (text == "" || !finished) {
			return lines, nil
		}
		var values map[string]any
		if err != nil || json.Unmarshal([]byte(text), &values) != nil {
			return nil, failed(wrongLines, "%s: line %d is not whole: %q", path, len(lines)+1, text)
		}
		step, _ := values["step"].(float64)
		if int64(step) < last || int64(step) == last && strings.HasSuffix(path, "metrics.jsonl") {
			return nil, failed(wrongLines, "%s: step %v comes after step %d", path, step, last)
		}
		last = int64(step)
		for _, key := range differ {
			delete(values, key)
		}
		rest, err := json.Marshal(values)
		if err != nil {
			return nil, failed(wrongLines, "%v", err)
		}
		lines = append(lines, logLine{last, string(rest)})
	}
}

func sameLines(path string, got, want []logLine) *failure {
	for i := range max(len(got), len(want)) {
		switch {
		case i >= len(got):
			return failed(wrongLines, "%s lost its lines from step %d on", path, want[i].step)
		case i >= len(want):
			return failed(wrongLines, "%s has %d lines, not %d: line %d is %s", path, len(got), len(want), i+1, got[i].text)
		case got[i] != want[i]:
			return failed(wrongLines, "%s: line %d is %s, undisturbed %s", path, i+1, got[i].text, want[i].text)
		}
	}
	return nil
}
