package runs

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func readText(t *testing.T, path string) string {
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

func TestCreate(t *testing.T) {
	root := filepath.Join(t.TempDir(), "runs")
	r, err := Create(root, "a", []byte("name: x\n"))
	require.NoError(t, err)
	require.Equal(t, "x", r.Info().Config.Name)
	require.DirExists(t, filepath.Join(r.Dir, "logs"))
	require.DirExists(t, filepath.Join(r.Dir, "checkpoints"))
	_, err = Create(root, "a", nil)
	require.ErrorContains(t, err, "exists: resume it with --resume")
	for _, name := range []string{"", "../b", "a/b", ".hidden", "a b", strings.Repeat("x", 200)} {
		_, err = Create(root, name, nil)
		require.ErrorContains(t, err, "--run-id", name)
	}
	require.NoError(t, r.WriteProvenance(Provenance{Device: "a GPU", Parameters: 5, Command: []string{"bitnet", "train"}}))
	i := r.Info()
	require.Equal(t, "a GPU", i.Device)
	require.EqualValues(t, 5, i.Parameters)
	name, err := r.WriteDump(12, LossSpike, []byte("{}"))
	require.NoError(t, err)
	require.Equal(t, "logs/anomalies/step_00000012_loss_spike.json", name)
	require.FileExists(t, filepath.Join(r.Dir, name))
}

// What is written is what is read.
func TestLogs(t *testing.T) {
	r, err := Create(t.TempDir(), "a", nil)
	require.NoError(t, err)
	l, err := r.OpenLogs(0)
	require.NoError(t, err)
	for step := int64(1); step <= 6; step++ {
		m := Metrics{Step: step}
		m.Set(LossMean, float64(step))
		require.NoError(t, l.Metrics(m))
		require.NoError(t, l.Eval(Eval{Step: step, Loss: Number(math.Inf(1)), Perplexity: 2, Tokens: 3,
			Scores: []Score{{Name: "games won", Value: 0.5, Unit: Share}, {Name: "of nothing", Value: math.NaN(), Unit: Share}}}))
		require.NoError(t, l.Sample(Sample{Step: step, Mode: "greedy", Prompt: "p", Text: "t"}))
	}
	require.NoError(t, l.Anomaly(Anomaly{Step: 6, Kind: NotFinite, Value: Number(math.NaN()), Limit: 1, Action: RollBack}))
	require.Equal(t, `{"step":6,"loss":null,"perplexity":2,"tokens":3,"scores":[{"name":"games won","value":0.5,"unit":"share"}]}`,
		strings.Split(readText(t, r.Log("eval")), "\n")[5])

	// A rollback keeps the anomaly, and loses nothing.
	require.NoError(t, l.Rewind(4))
	require.NoError(t, l.Metrics(Metrics{Step: 5}))
	require.NoError(t, l.Close())
	s, err := r.Status()
	require.NoError(t, err)
	require.EqualValues(t, 5, s.Last.Step)
	require.False(t, s.Last.Has(LossMean))
	require.EqualValues(t, 4, s.Eval.Step)
	require.EqualValues(t, 4, s.Samples[0].Step)
	require.Equal(t, RollBack, s.Anomalies[0].Action)
	require.Equal(t, `{"step":5,"loss_mean":5}`+"\n"+`{"step":6,"loss_mean":6}`+"\n", readText(t, filepath.Join(r.Dir, "logs", "aside_4", "metrics.jsonl")))
	require.FileExists(t, filepath.Join(r.Dir, "logs", "aside_4", "samples.jsonl"))
	require.NoFileExists(t, filepath.Join(r.Dir, "logs", "aside_4", "anomalies.jsonl"))

	// A run that was killed is opened at its checkpoint: half a line goes, and
	// with later steps the anomaly that will be found again.
	appendTo(t, r.Log("metrics"), `{"step":6,"lo`)
	l, err = r.OpenLogs(5)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.True(t, strings.HasSuffix(readText(t, r.Log("metrics")), `{"step":5}`+"\n"))
	require.Empty(t, readText(t, r.Log("anomalies")))
	require.NoFileExists(t, filepath.Join(r.Dir, "logs", "aside_5", "metrics.jsonl"), "half a line is nothing")
	require.FileExists(t, filepath.Join(r.Dir, "logs", "aside_5", "anomalies.jsonl"))
	l, err = r.OpenLogs(4)
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.Equal(t, `{"step":5}`+"\n", readText(t, filepath.Join(r.Dir, "logs", "aside_4_2", "metrics.jsonl")))
}

func TestLastUpTo(t *testing.T) {
	lines := metricsLines(1, 9)
	long := strings.Repeat("x", 3<<20) + "\n"
	huge := strings.Repeat("y", maxLine+5) + "\n"
	for name, row := range map[string]struct {
		text      string
		step      int64
		keep, end int
	}{
		"empty":           {"", 5, 0, 0},
		"all":             {lines, 9, len(lines), len(lines)},
		"some":            {lines, 3, len(metricsLines(1, 3)), len(lines)},
		"none":            {lines, 0, 0, len(lines)},
		"half":            {lines + `{"step":9`, 9, len(lines), len(lines)},
		"half alone":      {`{"step":1`, 9, 0, 0},
		"garbage":         {lines + "garbage\n\n", 9, len(lines), len(lines) + 9},
		"a long line":     {lines + long, 9, len(lines), len(lines) + len(long)},
		"a too long line": {lines + huge + long, 9, len(lines), len(lines) + len(huge) + len(long)},
		"only long":       {huge + long, 9, 0, len(huge) + len(long)},
	} {
		keep, end, err := lastUpTo(strings.NewReader(row.text), int64(len(row.text)), row.step)
		require.NoError(t, err, name)
		require.Equal(t, []int{row.keep, row.end}, []int{int(keep), int(end)}, name)
	}
}

// endless is a log of lines of 100 bytes that is too large to be held.
type endless struct{ read int64 }

func (e *endless) ReadAt(p []byte, at int64) (int, error) {
	e.read += int64(len(p))
	for i := 0; i < len(p); {
		line := fmt.Sprintf("%-99s\n", fmt.Sprintf(`{"step":%d}`, (at+int64(i))/100+1))
		i += copy(p[i:], line[(at+int64(i))%100:])
	}
	return len(p), nil
}

// Going back a little in a long log reads little of it.
func TestRewindOfALongLog(t *testing.T) {
	const lines = 100_000_000 // 10 GB
	var e endless
	keep, end, err := lastUpTo(&e, 100*lines, lines-20_000)
	require.NoError(t, err)
	require.EqualValues(t, 100*(lines-20_000), keep)
	require.EqualValues(t, 100*lines, end)
	require.Less(t, e.read, int64(8<<20))
}

// A log that was cut and has grown past its former length is read again.
func TestFollowNoticesACut(t *testing.T) {
	r := newRun(t, map[string]string{"logs/metrics.jsonl": metricsLines(1, 30)})
	f := r.Follow(100)
	_, err := f.Poll()
	require.NoError(t, err)
	l, err := r.OpenLogs(10)
	require.NoError(t, err)
	for step := int64(11); step <= 60; step++ {
		m := Metrics{Step: step}
		m.Set(Loss, 1)
		require.NoError(t, l.Metrics(m))
	}
	require.NoError(t, l.Close())
	c, err := f.Poll()
	require.NoError(t, err)
	require.Equal(t, Change{Metrics: 60, Reset: true}, c)
	require.Equal(t, 1., f.Curves.Series(Loss).Max[15])
}
