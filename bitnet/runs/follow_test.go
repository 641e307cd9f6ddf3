package runs

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newRun makes a run directory with files by their paths in it.
func newRun(t testing.TB, files map[string]string) *Run {
	dir := filepath.Join(t.TempDir(), "a_run")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "logs"), 0o755))
	for name, text := range files {
		put(t, filepath.Join(dir, name), text)
	}
	r, err := Open(dir)
	require.NoError(t, err)
	return r
}

func put(t testing.TB, path, text string) {
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
}

func appendTo(t testing.TB, path, text string) {
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	require.NoError(t, err)
	_, err = f.WriteString(text)
	require.NoError(t, err)
	require.NoError(t, f.Close())
}

func metricsLines(from, to int) string {
	var b strings.Builder
	for step := from; step <= to; step++ {
		fmt.Fprintf(&b, `{"step":%d,"loss":%d.5,"loss_mean":%d.5,"step_time_ms":10,"tokens_seen":%d}`+"\n", step, 100-step, 100-step, 64*step)
	}
	return b.String()
}

func TestFollow(t *testing.T) {
	r := newRun(t, nil)
	f := r.Follow(100)
	poll := func() Change {
		c, err := f.Poll()
		require.NoError(t, err)
		return c
	}
	require.Zero(t, poll(), "no file yet")

	put(t, r.Log("metrics"), metricsLines(1, 3)+`{"step":4,"lo`)
	require.Equal(t, Change{Metrics: 3}, poll())
	require.EqualValues(t, 3, f.Last.Step)
	require.Zero(t, poll(), "half a line")
	appendTo(t, r.Log("metrics"), `ss":1}`+"\n"+"garbage\n")
	require.Equal(t, Change{Metrics: 2}, poll())
	require.EqualValues(t, 4, f.Last.Step)
	require.EqualValues(t, 1, f.Curves.Bad)
	require.EqualValues(t, 5, f.Curves.Lines)

	appendTo(t, r.Log("eval"), `{"step":4,"loss":2,"exact_match":0.5,"scores":[{"name":"exact match","value":0.5,"unit":"share"}]}`+"\n{\n"+`{"step":5,"loss":NaN}`+"\n")
	appendTo(t, r.Log("samples"), `{"step":4,"prompt":"a","text":"b"}`+"\n")
	appendTo(t, r.Log("anomalies"), `{"step":4,"kind":"nan","value":null}`+"\n")
	require.Equal(t, Change{Evals: 3, Samples: 1, Anomalies: 1}, poll())
	require.Len(t, f.Evals, 2)
	require.EqualValues(t, 5, f.Evals[1].Step)
	require.EqualValues(t, 1, f.BadLines)
	require.True(t, math.IsNaN(float64(f.Anomalies[0].Value)))
	require.Equal(t, []Score{{Name: "exact match", Value: 0.5, Unit: Share}}, f.Evals[0].Scores)

	// A resumed run writes its logs again, up to a checkpoint, and goes on.
	next := r.Log("metrics") + ".tmp"
	put(t, next, metricsLines(1, 2))
	require.NoError(t, os.Rename(next, r.Log("metrics")))
	appendTo(t, r.Log("metrics"), metricsLines(3, 9))
	require.Equal(t, Change{Metrics: 9, Reset: true}, poll())
	require.EqualValues(t, 9, f.Last.Step)
	require.Equal(t, 9, f.Curves.Points())

	put(t, r.Log("metrics"), metricsLines(1, 1)) // cut in its place
	require.Equal(t, Change{Metrics: 1, Reset: true}, poll())
	require.NoError(t, os.Remove(r.Log("metrics")))
	require.Equal(t, Change{Reset: true}, poll())
	require.Zero(t, poll())
}

// Starting late gives what following from the start gives.
func TestFollowFromAnywhere(t *testing.T) {
	text := metricsLines(1, 40)
	for cut := 0; cut <= len(text); cut += 29 {
		r := newRun(t, map[string]string{"logs/metrics.jsonl": text[:cut]})
		f := r.Follow(16)
		_, err := f.Poll()
		require.NoError(t, err)
		appendTo(t, r.Log("metrics"), text[cut:])
		_, err = f.Poll()
		require.NoError(t, err)
		require.EqualValues(t, 40, f.Curves.Lines, cut)
		require.Zero(t, f.Curves.Bad, cut)
		require.EqualValues(t, 40, f.Last.Step)
	}
}

// A long log shows its shape at once, and then what reading it line by line gives.
func TestFollowLong(t *testing.T) {
	r := newRun(t, map[string]string{"logs/metrics.jsonl": metricsLines(1, 20000) + `{"step":20001,`})
	f := r.Follow(100)
	f.long = 1 << 20
	poll := func() Change {
		c, err := f.Poll()
		require.NoError(t, err)
		return c
	}
	finish := func() Change {
		for {
			if c := poll(); c != (Change{}) {
				return c
			}
			share, reading := f.Reading()
			require.True(t, reading, "it is read, or being read")
			require.True(t, share >= 0 && share <= 1, share)
			time.Sleep(time.Millisecond)
		}
	}
	ends := func(last float64) {
		x := f.Curves.X(BySteps)
		require.Greater(t, len(x), 50)
		require.Less(t, x[0], 400.)
		require.EqualValues(t, last, x[len(x)-1])
		require.EqualValues(t, last, f.Last.Step)
	}
	require.Zero(t, poll())
	ends(20000)
	require.Equal(t, Change{Metrics: 20000, Reset: true}, finish())
	ends(20000)
	want := NewCurves(100)
	for line := range strings.Lines(metricsLines(1, 20000)) {
		want.Add([]byte(line))
	}
	require.Equal(t, want.Series(Loss), f.Curves.Series(Loss))
	require.Zero(t, poll())
	appendTo(t, r.Log("metrics"), `"loss":1}`+"\n")
	require.Equal(t, Change{Metrics: 1}, poll())
	ends(20001)

	// Cut by a resumed run, and still long.
	next := r.Log("metrics") + ".tmp"
	put(t, next, metricsLines(1, 15000))
	require.NoError(t, os.Rename(next, r.Log("metrics")))
	require.Equal(t, Change{Reset: true}, poll())
	ends(15000)
	require.Equal(t, Change{Metrics: 15000, Reset: true}, finish())
	ends(15000)

	require.NoError(t, os.Remove(r.Log("metrics")))
	require.Equal(t, Change{Reset: true}, poll())
	require.Zero(t, f.Curves.Points())
}

func TestTailOfLongLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	long := strings.Repeat("x", 3<<20)
	put(t, path, long+"\nshort\n"+strings.Repeat("y", maxLine+5))
	log := newTail(path)
	var got []int
	poll := func() {
		require.NoError(t, log.poll(func() { t.Fatal("nothing was cut") }, func(line []byte) { got = append(got, len(line)) }))
	}
	poll()
	require.Equal(t, []int{len(long), 5}, got)
	appendTo(t, path, "yy\nend\n")
	poll()
	require.Equal(t, []int{len(long), 5, 0, 3}, got, "a line that is too long is nothing")
}

func TestBackward(t *testing.T) {
	for _, row := range []struct {
		text string
		want []string
	}{
		{"", nil},
		{"half", nil},
		{"\n", []string{""}},
		{"a\nb\n", []string{"b", "a"}},
		{"a\nb\nhalf", []string{"b", "a"}},
		{strings.Repeat("z", 200<<10) + "\nb\n" + strings.Repeat("h", 100<<10), []string{"b", strings.Repeat("z", 200<<10)}},
	} {
		path := filepath.Join(t.TempDir(), "log")
		put(t, path, row.text)
		var got []string
		require.NoError(t, backward(path, func(line []byte) bool { got = append(got, string(line)); return true }))
		require.Equal(t, row.want, got)
	}
	require.NoError(t, backward(filepath.Join(t.TempDir(), "none"), func([]byte) bool { t.Fatal(); return true }))
}
