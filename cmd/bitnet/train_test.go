package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/require"

	"bitnet/bitnet/runs"
	"bitnet/bitnet/task"
	"bitnet/bitnet/train"
	"bitnet/data/meter"
	"bitnet/data/shard"
	"bitnet/gpu"
)

// runTrain gives what `bitnet train args` prints.
func runTrain(t *testing.T, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	if _, err := gpu.Adapters(); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	var out, errs bytes.Buffer
	root := rootCommand()
	root.SetArgs(append([]string{"train"}, args...))
	root.SetOut(&out)
	root.SetErr(&errs)
	err = root.ExecuteContext(t.Context())
	return out.String(), errs.String(), err
}

// small is a run of a second.
func small(dir string, more ...string) []string {
	return append([]string{"--exp", "simple", "--runs-dir", dir, "--run-id", "run", "--num-steps", "12", "--batch-size", "2", "--log-interval", "4",
		"--checkpoint-interval", "4", "--set", "num_hidden_layers=1"}, more...)
}

func TestTrainPlain(t *testing.T) {
	dir := t.TempDir()
	out, _, err := runTrain(t, small(dir)...)
	require.NoError(t, err)
	require.NotContains(t, out, "\x1b", "no terminal, no control")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	run := filepath.Join(dir, "run")
	require.Equal(t, []string{"next:", "  bitnet eval " + run, "  bitnet generate " + run + ` --prompt "25 + 17 = " --temp 0`, "  bitnet plot " + run}, lines[len(lines)-4:])
	require.Contains(t, out, "step 4/12  loss ")
	require.Contains(t, out, "step 12: validation loss ")
	require.Contains(t, out, "done: 12 steps, 768 tokens in ")

	_, errs, err := runTrain(t, "--resume", run)
	require.ErrorContains(t, err, "has finished its 12 steps")
	require.Empty(t, errs)
	out, errs, err = runTrain(t, "--resume", run, "--num-steps", "14", "--quiet")
	require.NoError(t, err)
	require.Empty(t, out+errs)
}

func TestTrainJSON(t *testing.T) {
	dir := t.TempDir()
	out, _, err := runTrain(t, small(dir, "--json", "--tensorboard")...)
	require.NoError(t, err)
	events, err := filepath.Glob(filepath.Join(dir, "run", "tensorboard", "events.out.tfevents.*"))
	require.NoError(t, err)
	require.Len(t, events, 1)
	board, err := os.ReadFile(events[0])
	require.NoError(t, err)
	for _, tag := range []string{"train/loss", "zeros/layers.0.mlp.up_proj", "eval/exact_match", "samples/0"} {
		require.Contains(t, string(board), tag)
	}
	count := map[string]int{}
	var last map[string]any
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		last = nil
		require.NoError(t, json.Unmarshal([]byte(line), &last), line)
		count[last["event"].(string)]++
	}
	require.Equal(t, map[string]int{"prepare": 1, "start": 1, "metrics": 5, "eval": 1, "sample": 4, "checkpoint": 5, "end": 1}, count)
	require.Equal(t, "done", last["status"])
	require.EqualValues(t, 12, last["step"])
	require.NotEmpty(t, last["next"])

	out, _, err = runTrain(t, "--resume", filepath.Join(dir, "run"), "--json")
	require.Error(t, err)
	require.Contains(t, out, `"status":"failed"`)
}

// The configuration's policy for anomalies is that of the flag.
func TestTrainOnAnomaly(t *testing.T) {
	dir := t.TempDir()
	_, _, err := runTrain(t, small(dir, "--on-anomaly", "pray")...)
	require.ErrorContains(t, err, "it must be warn, stop or rollback")
	_, _, err = runTrain(t, small(dir, "--on-anomaly", "rollback", "--quiet")...)
	require.NoError(t, err)
	c, err := train.LoadConfig(filepath.Join(dir, "run", "config.yaml"))
	require.NoError(t, err)
	require.Equal(t, runs.RollBack, c.Train.OnAnomaly)
	var u usageError
	_, _, err = runTrain(t, small(dir, "--json", "--quiet")...)
	require.True(t, errors.As(err, &u))
}

// A run that is made short logs ten times all the same, unless told otherwise.
func TestShortRunLogs(t *testing.T) {
	for _, row := range []struct {
		steps, log string
		want       int
	}{{"60", "", 6}, {"5", "", 1}, {"5000", "", 100}, {"60", "50", 50}, {"", "", 100}} {
		var f trainFlags
		f.exp = "arithmetic"
		c := &cobra.Command{}
		c.Flags().IntVar(&f.steps, "num-steps", 0, "")
		c.Flags().IntVar(&f.logEvery, "log-interval", 0, "")
		for name, value := range map[string]string{"num-steps": row.steps, "log-interval": row.log} {
			if value != "" {
				require.NoError(t, c.Flags().Set(name, value))
			}
		}
		cfg, err := f.configuration(c)
		require.NoError(t, err)
		require.Equal(t, row.want, cfg.Output.LogInterval, row)
	}
}

// The warm-up of a preset is at most a tenth of the steps, unless it is set.
func TestShortRunWarmsUp(t *testing.T) {
	config := filepath.Join(t.TempDir(), "config.yaml")
	arithmetic, err := train.Preset("arithmetic")
	require.NoError(t, err)
	require.Equal(t, 100, arithmetic.Train.WarmupSteps)
	require.NoError(t, os.WriteFile(config, arithmetic.YAML(), 0o600))
	for _, row := range []struct {
		exp, config string
		set         []string
		want        int
	}{
		{"arithmetic", "", nil, 20},
		{"arithmetic", "", []string{"learning_rate=1e-3"}, 20},
		{"arithmetic", "", []string{"warmup_steps=77"}, 77},
		{"arithmetic", "", []string{"train.warmup_steps=0"}, 0},
		{"", config, nil, 100}, // a person wrote it
	} {
		f := trainFlags{exp: row.exp, config: row.config, set: row.set}
		c := &cobra.Command{}
		c.Flags().IntVar(&f.steps, "num-steps", 0, "")
		require.NoError(t, c.Flags().Set("num-steps", "200"))
		cfg, err := f.configuration(c)
		require.NoError(t, err)
		require.Equal(t, row.want, cfg.Train.WarmupSteps, row)
	}
}

// On a terminal one line at the bottom is written over; what stays comes above.
func TestProgressLive(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	p := newProgress(&out)
	p.live, p.width, p.now = true, func() int { return 40 }, func() time.Time { return now }
	p.steps = 1000
	metrics := func(step int64, loss float64) runs.Metrics {
		m := runs.Metrics{Step: step}
		m.Set(runs.LossMean, loss)
		m.Set(runs.LR, 1e-3)
		m.Set(runs.TokensPerSec, 12345)
		return m
	}
	e := p.events()
	e.Step(1)
	e.Step(2) // too soon to be drawn
	now = now.Add(time.Second)
	e.Step(3)
	e.Metrics(metrics(3, 2))
	e.Metrics(metrics(53, 1))
	e.Samples([]runs.Sample{{Prompt: "a\nb", Text: "c\x1b[2Jd"}})
	e.Anomaly(runs.Anomaly{Step: 60, Kind: runs.LossSpike, Message: "the loss is 9", Action: runs.Warn, Dump: "logs/x.json"})
	over := 53. / 4 // steps, so early in a run
	require.InDelta(t, 1+math.Exp(-50/over), p.loss, 1e-6)
	var got []string
	for _, s := range strings.Split(out.String(), "\r\x1b[K")[1:] {
		drawn, _, _ := strings.Cut(s, "  left ") // that depends on the clock
		got = append(got, drawn)
	}
	require.Equal(t, []string{
		"step 1/1000",
		"step 3/1000",
		"step 3/1000  loss 2.0000  lr 1.00e-03  ",
		"step 3/1000  loss 1.0230  lr 1.00e-03  ",
		"  a b|c [2Jd\nanomaly at step 60 (loss_spike): the loss is 9; continuing; details in logs/x.json\n",
	}, got)
}

func TestPreparationLine(t *testing.T) {
	for _, row := range []struct {
		now  task.Preparation
		want string
	}{
		{task.Preparation{}, ""},
		{task.Preparation{Downloads: meter.Reading{Done: 5 << 20, Total: 20 << 20, Rate: 1 << 20, ETA: 15 * time.Second}, Fetched: 1, Files: 4, Sample: 100 << 20, Sampled: 3 << 20},
			"download 1 of 4 files, 5 of 20 MiB, 1.0 MiB/s, 15s left; tokenizer: read 3 of 100 MiB"},
		{task.Preparation{Sample: 1e8, Sampled: 1e8}, "tokenizer: merging"},
		{task.Preparation{Sample: 1e8, Sampled: 1e8, Shards: shard.Progress{Documents: 7, Shards: 1, Inputs: meter.Reading{Done: 1, Total: 4, ETA: -1}}},
			"25%, 7 documents, 1 shards, 0.0 MiB/s, 0 tokens/s"},
	} {
		require.Equal(t, row.want, preparationLine(row.now))
	}
}

// A run stops early, says so, and its best checkpoint can be measured and resumed by name.
func TestTrainStopsEarly(t *testing.T) {
	dir := t.TempDir()
	out, _, err := runTrain(t, small(dir, "--lr", "3", "--set", "warmup_steps=12", "--eval-interval", "1", "--set", "early_stopping=1", "--set", "eval_samples=2")...)
	require.NoError(t, err)
	require.Contains(t, out, "stopping early: the validation loss no longer improves (early_stopping 1)")
	require.Regexp(t, `stopped early at step \d+ of 12\n`, out)
	run := &runs.Run{Dir: filepath.Join(dir, "run")}
	b, err := run.Best()
	require.NoError(t, err)

	out, err = bitnetOutput(t, "eval", "ru@best", "--runs-dir", dir, "--rows", "2", "--json")
	require.NoError(t, err)
	var e runs.Eval
	require.NoError(t, json.Unmarshal([]byte(out), &e))
	require.Equal(t, b.Kept.Step, e.Step)
	require.InDelta(t, float64(b.Kept.Loss), float64(e.Loss), 1e-6)
	out, err = bitnetOutput(t, "status", run.Dir)
	require.NoError(t, err)
	require.Contains(t, out, "stopped: early at step ")

	out, _, err = runTrain(t, "--resume", run.Dir+"@best", "--lr", "1e-3", "--set", "early_stopping=0")
	require.NoError(t, err)
	require.Regexp(t, `steps `+strconv.FormatInt(b.Kept.Step+1, 10)+` to 12`, out)
	require.Contains(t, out, "set aside")
	_, _, err = runTrain(t, "--resume", "nothing@best", "--runs-dir", dir)
	require.ErrorContains(t, err, "there is no run or checkpoint nothing@best")
}
