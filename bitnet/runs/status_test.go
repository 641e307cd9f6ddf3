package runs

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/data/printable"
)

const config = "name: simple\ntrain: {steps: 40, batch_size: 2, learning_rate: 1e-3, grad_accum: x}\noutput: {log_interval: 1}\n"

func alive(t *testing.T, a Alive) string {
	text, err := json.Marshal(a)
	require.NoError(t, err)
	return string(text)
}

func TestState(t *testing.T) {
	host, err := os.Hostname()
	require.NoError(t, err)
	_, ticks, proc := processStat(os.Getpid())
	self := Alive{PID: os.Getpid(), Host: host, StartTicks: ticks}
	other, reused := self, self
	other.Host = host + "-other"
	reused.StartTicks++

	var gone Alive
	sleep := exec.Command("sleep", "1000")
	if err := sleep.Start(); err == nil {
		gone = Alive{PID: sleep.Process.Pid, Host: host}
		_, gone.StartTicks, _ = processStat(gone.PID)
		require.True(t, gone.running())
		require.NoError(t, sleep.Process.Kill())
		if proc {
			// Not waited for yet: a zombie is no life.
			require.Eventually(t, func() bool { return !gone.running() }, time.Minute, time.Millisecond)
		}
		_ = sleep.Wait()
	} else {
		t.Skip("no program to kill:", err)
	}

	const state = `{"step":9,"tokens_seen":5}`
	for _, row := range []struct {
		name  string
		want  Condition
		files map[string]string
		old   bool // nothing changed for an hour
	}{
		{"running", Running, map[string]string{"logs/alive.json": alive(t, self), "logs/metrics.jsonl": metricsLines(1, 9)}, false},
		{"running, quiet", Running, map[string]string{"logs/alive.json": alive(t, self), "logs/metrics.jsonl": metricsLines(1, 9)}, true},
		{"killed", Crashed, map[string]string{"logs/alive.json": alive(t, gone), "logs/metrics.jsonl": metricsLines(1, 9) + `{"st`}, false},
		{"killed, number taken again", Crashed, map[string]string{"logs/alive.json": alive(t, reused), "logs/metrics.jsonl": metricsLines(1, 9)}, false},
		{"killed before the first line", Crashed, map[string]string{"logs/alive.json": alive(t, gone)}, false},
		{"killed behind the last step", Crashed, map[string]string{"logs/alive.json": alive(t, gone), "logs/metrics.jsonl": metricsLines(1, 40)}, false},
		{"half an alive.json", Unknown, map[string]string{"logs/alive.json": `{"pid":`, "logs/metrics.jsonl": metricsLines(1, 9)}, false},
		{"elsewhere", Unknown, map[string]string{"logs/alive.json": alive(t, other), "logs/metrics.jsonl": metricsLines(1, 9)}, false},
		{"elsewhere, quiet", Unknown, map[string]string{"logs/alive.json": alive(t, other), "logs/metrics.jsonl": metricsLines(1, 9)}, true},
		{"finished", Finished, map[string]string{"checkpoints/step_00000040/state.json": state, "logs/metrics.jsonl": metricsLines(1, 40)}, false},
		{"stopped", Stopped, map[string]string{"checkpoints/step_00000009/state.json": state, "logs/metrics.jsonl": metricsLines(1, 9)}, false},
		{"no alive.json", Unknown, map[string]string{"logs/metrics.jsonl": metricsLines(1, 9)}, false},
		{"no alive.json, quiet", Stopped, map[string]string{"logs/metrics.jsonl": metricsLines(1, 9)}, true},
		{"diverged", Diverged, map[string]string{"logs/metrics.jsonl": metricsLines(1, 9) + `{"step":10,"loss":null}` + "\n"}, false},
		{"ended on an anomaly", Diverged, map[string]string{"logs/metrics.jsonl": metricsLines(1, 9),
			"logs/anomalies.jsonl": `{"step":9,"kind":"loss_spike","message":"too high","action":"stop"}` + "\n"}, false},
		{"went on after a warning", Crashed, map[string]string{"logs/alive.json": alive(t, gone), "logs/metrics.jsonl": metricsLines(1, 9),
			"logs/anomalies.jsonl": `{"step":9,"kind":"loss_spike","action":"warn"}` + "\n"}, false},
		{"nothing at all", Unknown, nil, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			r := newRun(t, row.files)
			put(t, filepath.Join(r.Dir, "config.yaml"), config)
			if row.old {
				past := time.Now().Add(-time.Hour)
				require.NoError(t, os.Chtimes(r.Log("metrics"), past, past))
			}
			if row.name == "killed, number taken again" && !proc {
				t.Skip("no /proc: " + runtime.GOOS)
			}
			i := r.Info()
			require.Equal(t, row.want, i.State, i.Why)
			require.NotEmpty(t, i.Why)
			require.EqualValues(t, 40, i.Config.Train.Steps, "a bad value elsewhere does not matter")
		})
	}
}

func TestStatus(t *testing.T) {
	const shares = `{"step":21,"loss":79.5,"loss_mean":79.5,"step_time_ms":10,"tokens_seen":1344,"ternary":{"q":[0.25,0.5,0.25]}}` + "\n"
	r := newRun(t, map[string]string{
		"config.yaml":                           config,
		"logs/metrics.jsonl":                    metricsLines(1, 20) + shares + metricsLines(22, 30) + `{"step":31,"lo`,
		"logs/eval.jsonl":                       `{"step":10,"loss":1}` + "\n" + `{"step":20,"loss":2}` + "\nbad\n",
		"logs/samples.jsonl":                    `{"step":10,"prompt":"x","text":"old"}` + "\n" + `{"step":20,"prompt":"x","text":"new"}` + "\n" + `{"step":20,"prompt":"y","text":"newer"}` + "\n",
		"logs/anomalies.jsonl":                  `{"step":3,"kind":"loss_spike"}` + "\n" + `{"step":4,"kind":"loss_spike"}` + "\n" + `{"step":5,"kind":"nan"}` + "\n",
		"checkpoints/step_00000020/state.json":  `{"step":20}`,
		"checkpoints/step_00000030/model":       "no state.json: not whole",
		"checkpoints/.writing-1/state.json":     `{"step":40}`,
		"checkpoints/step_00000009/state.json":  `{"step":9}`,
		"checkpoints/step_123456789/state.json": "",
	})
	require.NoError(t, os.RemoveAll(filepath.Join(r.Dir, "checkpoints", "step_123456789")))
	s, err := r.Status()
	require.NoError(t, err)
	require.EqualValues(t, 30, s.Step)
	require.EqualValues(t, 20, s.CheckpointStep)
	require.Equal(t, 100*time.Millisecond, s.Left)
	require.EqualValues(t, 20, s.Eval.Step)
	require.EqualValues(t, 10, s.Best.Step)
	require.Len(t, s.Samples, 2)
	require.Equal(t, "newer", s.Samples[1].Text)
	require.Equal(t, map[AnomalyKind]int{"loss_spike": 2, "nan": 1}, s.AnomalyCount)
	require.EqualValues(t, 5, s.Anomalies[2].Step)
	require.NotNil(t, s.Trend)
	require.True(t, s.Trend.Clear)
	require.InDelta(t, -3, s.Trend.Change(), 1e-9)
	require.EqualValues(t, 27, s.Trend.FromStep)
	require.Nil(t, s.Last.Ternary)
	require.Equal(t, map[string][3]float64{"q": {0.25, 0.5, 0.25}}, s.Ternary, "of the newest line that has some")
}

func TestFit(t *testing.T) {
	flat := fit([]float64{1, 2, 3, 4, 5, 6}, []float64{1, 2, 1, 2, 1, 2})
	require.False(t, flat.Clear)
	require.Nil(t, fit([]float64{1, 1, 1}, []float64{1, 2, 3}))
}

func TestFind(t *testing.T) {
	root := t.TempDir()
	for i, name := range []string{"one_a", "one_b", "two", "list", "a\x1b[31mb"} {
		put(t, filepath.Join(root, name, "config.yaml"), config)
		at := time.Now().Add(time.Duration(i-100) * time.Minute)
		require.NoError(t, os.Chtimes(filepath.Join(root, name), at, at))
	}
	put(t, filepath.Join(root, "no run"), "")
	for _, row := range []struct{ name, want, err string }{
		{"one_a", "one_a", ""}, {"tw", "two", ""}, {filepath.Join(root, "two"), "two", ""}, {filepath.Join(root, "two") + "/", "two", ""},
		{"one", "", "write more of the name"}, {"three", "", "there is no run three"}, {"", "", "there is no run"}, {"no run", "", "there is no run"},
	} {
		r, err := Find(root, row.name)
		if row.err != "" {
			require.ErrorContains(t, err, row.err)
			require.NotContains(t, err.Error(), "\x1b")
			continue
		}
		require.NoError(t, err)
		require.Equal(t, row.want, r.Name)
	}
	_, err := Find(root, "one")
	require.ErrorIs(t, err, ErrAmbiguous)
	list, err := List(root)
	require.NoError(t, err)
	require.Len(t, list, 5)
	require.Equal(t, "a\x1b[31mb", list[0].Name)
	require.Equal(t, "one_a", list[4].Name)
	_, err = Newest(filepath.Join(root, "two"))
	require.ErrorContains(t, err, "bitnet train")
	_, err = Open(root)
	require.ErrorContains(t, err, "is not a run")
}

func TestPrintable(t *testing.T) {
	for _, row := range [][2]string{
		{"plain ünïcode 世界 ●", "plain ünïcode 世界 ●"},
		{"\x1b[31mred\x07", `\x1b[31mred\a`},
		{"two\nlines\tand\r", `two\nlines\tand\r`},
		{"bad \xff utf8 \u202egnp", `bad \xff utf8 \u202egnp`},
		{"\u009b31m \u200b", `\u009b31m \u200b`},
		{"\ufffd", "\ufffd"},
	} {
		require.Equal(t, row[1], printable.String(row[0]))
	}
	require.Equal(t, "runs/a-b_1.2", printable.Shell("runs/a-b_1.2"))
	require.Equal(t, `'it'\''s $(x)'`, printable.Shell("it's $(x)"))
	require.Equal(t, "''", printable.Shell(""))
}
