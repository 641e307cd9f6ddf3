package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/runs"
)

// bitnetOutput runs the program's command line.
func bitnetOutput(t testing.TB, args ...string) (string, error) {
	var out bytes.Buffer
	root := rootCommand()
	root.SetArgs(args)
	root.SetOut(&out)
	root.SetErr(&out)
	err := root.ExecuteContext(t.Context())
	return out.String(), err
}

// golden compares with a file of testdata; UPDATE=1 writes it.
func golden(t *testing.T, name, got string) {
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE") != "" {
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), got)
}

// crashed copies testdata's run, which was trained on lavapipe, as it would be
// after a kill -9 in the middle of a line.
func crashed(t *testing.T, name string) string {
	dir := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/run/simple")))
	require.NoError(t, os.RemoveAll(filepath.Join(dir, "checkpoints", "step_00000020")))
	metrics := filepath.Join(dir, "logs", "metrics.jsonl")
	text, err := os.ReadFile(metrics)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(metrics, text[:bytes.LastIndex(text, []byte(`"loss_mean"`))], 0o644))
	host, err := os.Hostname()
	require.NoError(t, err)
	alive, err := json.Marshal(runs.Alive{PID: 1 << 30, Host: host})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "logs", "alive.json"), alive, 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "logs", "anomalies.jsonl"), []byte(
		`{"step":12,"kind":"loss_spike","message":"loss 9.1 is far over its median 2.6","value":9.1,"limit":5.2,"dump":"anomalies/step_12.json","action":"warn","time":"2026-11-24T08:05:13Z"}`+"\n"+
			`{"step":14,"kind":"repetition","message":"a sample \u001b[2J goes around in circles","action":"rollback"}`+"\n"), 0o644))
	return dir
}

func statusOf(t *testing.T, dir string, columns int) string {
	r, err := runs.Open(dir)
	require.NoError(t, err)
	s, err := r.Status()
	require.NoError(t, err)
	return strings.ReplaceAll(statusText(&s, time.Date(2026, 11, 24, 10, 7, 0, 0, time.UTC), columns, false), filepath.Dir(dir), "RUNS")
}

func TestStatusText(t *testing.T) {
	golden(t, "status_finished.golden", statusOf(t, "testdata/run/simple", 0))
	dir := crashed(t, "my run\x1b[31m")
	text := statusOf(t, dir, 0)
	golden(t, "status_crashed.golden", text)
	require.NotContains(t, text, "\x1b")
	for line := range strings.Lines(statusOf(t, dir, 40)) {
		require.LessOrEqual(t, cells(strings.TrimSuffix(line, "\n")), 40, line)
	}
}

func TestFirstLine(t *testing.T) {
	for _, row := range []struct {
		step, interval, steps int64
		state                 runs.Condition
		want                  string
	}{
		{0, 100, 10000, runs.Running, ": the first come at step 1"},
		{30, 100, 60, runs.Running, ": the first come at step 60"},
		{150, 100, 10000, runs.Running, ": the first come at step 200"},
		{0, 0, 60, runs.Running, ": the first come at step 1"},
		{0, 100, 10000, runs.Crashed, ""},
		{60, 100, 60, runs.Running, ""},
	} {
		var s runs.Status
		s.Step, s.State, s.Config.Output.LogInterval, s.Config.Train.Steps = row.step, row.state, row.interval, row.steps
		require.Equal(t, row.want, firstLine(&s), row)
	}
}

func TestStatusCommand(t *testing.T) {
	dir := crashed(t, "run_1")
	root := filepath.Dir(dir)
	for _, args := range [][]string{{}, {"run_1"}, {"ru"}, {dir}} {
		out, err := bitnetOutput(t, append([]string{"status", "--runs-dir", root}, args...)...)
		require.NoError(t, err)
		require.Contains(t, out, "run_1  crashed")
	}
	out, err := bitnetOutput(t, "status", "--runs-dir", root, "--json")
	require.NoError(t, err)
	var got map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	require.Equal(t, "crashed", got["state"])
	require.EqualValues(t, 18, got["step"])
	require.Equal(t, "resume from step 11: bitnet train --resume "+dir, got["next"])

	out, err = bitnetOutput(t, "status", "list", "--runs-dir", root)
	require.NoError(t, err)
	require.Regexp(t, `(?m)^run_1 +crashed +18 of 20 +2\.374 `, out)
	out, err = bitnetOutput(t, "status", "list", "--runs-dir", filepath.Join(root, "none"))
	require.NoError(t, err)
	require.Contains(t, out, "bitnet train --exp simple")
	_, err = bitnetOutput(t, "status", "--runs-dir", filepath.Join(root, "none"))
	require.ErrorContains(t, err, "there is no run in")
	_, err = bitnetOutput(t, "status", "--runs-dir", root, "nope")
	require.ErrorContains(t, err, "there is no run nope")
}

// A number that is not finite must not keep JSON from being written.
func TestStatusOfADivergedRun(t *testing.T) {
	dir := crashed(t, "bad")
	f, err := os.OpenFile(filepath.Join(dir, "logs", "metrics.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	_, err = f.WriteString("\n" + `{"step":20,"loss":null,"loss_mean":null,"grad_norm":null}` + "\n")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	out, err := bitnetOutput(t, "status", dir, "--json")
	require.NoError(t, err)
	require.Contains(t, out, `"loss":null`)
	require.Contains(t, out, `"state":"diverged"`)
	require.Contains(t, statusOf(t, dir, 0), "--lr 0.002")
}

// Watching shows what changes, and its end is no error.
func TestWatch(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	frames := []string{"a\n", "a\n", "b\n"}
	var out bytes.Buffer
	n := 0
	err := watchFrames(ctx, &out, false, func(int, bool) (string, error) {
		if n++; n == len(frames) {
			cancel()
		}
		return frames[n-1], nil
	})
	require.NoError(t, err)
	require.Equal(t, "a\nb\n", out.String())
}

func TestNumbers(t *testing.T) {
	for _, row := range []struct{ got, want string }{
		{number(0), "0"}, {number(2.37412), "2.374"}, {number(0.0004), "0.0004"}, {number(1234.6), "1,235"}, {number(-1e-7), "-1e-07"},
		{thousands(-1234567), "-1,234,567"}, {thousands(999), "999"}, {count(3160320), "3.16M"}, {count(9999), "9999"}, {count(12345), "12.3k"},
		{brief(59 * time.Second), "59 s"}, {brief(3600 * time.Second), "1 h 00 min"}, {brief(26 * time.Hour), "1 d 02 h"}, {brief(-1), "0 s"},
		{bar(0.5, 4), "██░░"}, {bar(2, 4), "████"}, {cut("日本語", 5), "日本…"}, {cut("abc", 3), "abc"}, {cut("abcd", 3), "ab…"},
	} {
		require.Equal(t, row.want, row.got)
	}
}
