package runs

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// A run that fits is held as it is: one line, one point.
func TestCurvesExact(t *testing.T) {
	c := NewCurves(10)
	for _, line := range []string{
		`{"step":10,"loss":3,"step_time_ms":100,"tokens_seen":1000}`,
		`{"step":20,"loss":null,"step_time_ms":200,"tokens_seen":2000,"ternary":{"l.10.q":[0.3,0.4,0.3],"l.2.q":[0.2,0.5,0.3]}}`,
		`not a line`,
		`{"step":30,"loss":1,"step_time_ms":300,"tokens_seen":3000}`,
	} {
		c.Add([]byte(line))
	}
	require.EqualValues(t, 4, c.Lines)
	require.EqualValues(t, 1, c.Bad)
	require.EqualValues(t, 1, c.Width())
	require.Equal(t, []float64{10, 20, 30}, c.X(BySteps))
	require.Equal(t, []float64{1000, 2000, 3000}, c.X(ByTokens))
	require.InDeltaSlice(t, []float64{1, 3, 6}, c.X(ByTime), 1e-12)
	s := c.Series(Loss)
	require.Equal(t, []int{0, 1, 0}, s.NotFinite)
	require.Equal(t, "[3 NaN 1]", fmt.Sprint(s.Mean))
	require.Equal(t, []string{"l.2.q", "l.10.q"}, c.Projections())
	shares := c.Ternary("l.10.q")
	require.True(t, math.IsNaN(shares[0][0]))
	require.InDelta(t, 0.4, shares[1][1], 1e-6)
	require.True(t, math.IsNaN(c.Ternary("no such")[0][1]))
}

// Whatever the thinning, no spike and no NaN is lost, and no line counted twice.
func TestCurvesKeepSpikes(t *testing.T) {
	for _, limit := range []int{2, 7, 100} {
		c := NewCurves(limit)
		for step := 1; step <= 10000; step++ {
			loss := "1"
			switch step {
			case 3333:
				loss = "50"
			case 7777:
				loss = "null"
			case 9999:
				loss = "-4"
			}
			c.Add(fmt.Appendf(nil, `{"step":%d,"loss":%s}`, step, loss))
		}
		require.LessOrEqual(t, c.Points(), limit)
		require.Greater(t, c.Points(), limit/2-1)
		s := c.Series(Loss)
		top, bottom, bad := math.Inf(-1), math.Inf(1), 0
		for i := range s.Max {
			top, bottom, bad = max(top, s.Max[i]), min(bottom, s.Min[i]), bad+s.NotFinite[i]
		}
		require.Equal(t, []float64{50, -4, 1}, []float64{top, bottom, float64(bad)})
		x := c.X(BySteps)
		require.EqualValues(t, 10000, x[len(x)-1])
	}
}

// What a file gives does not depend on how many processors read it.
func TestReadCurvesInParts(t *testing.T) {
	var text bytes.Buffer
	require.NoError(t, writeMetrics(&text, 60000, 20000)) // some 16 MB: several pieces
	require.Greater(t, text.Len(), 3*chunk)
	path := filepath.Join(t.TempDir(), "metrics.jsonl")
	require.NoError(t, os.WriteFile(path, append(text.Bytes(), `{"step":60001,"loss":9`...), 0o644))
	want := NewCurves(500)
	for line := range bytes.Lines(text.Bytes()) {
		want.Add(line)
	}
	got, err := ReadCurves(path, 0, 0, 500)
	require.NoError(t, err)
	require.EqualValues(t, 60000, got.Lines)
	require.Zero(t, got.Bad)
	require.Equal(t, want.Width(), got.Width())
	for _, axis := range []Axis{BySteps, ByTokens, ByTime} {
		require.InDeltaSlice(t, want.X(axis), got.X(axis), 1e-6, axis)
	}
	for _, k := range Keys() {
		a, b := want.Series(k), got.Series(k)
		if !bytes.Contains(text.Bytes(), []byte(`"`+k.String()+`":`)) { // of runs that several ranks share
			require.Equal(t, fmt.Sprint(a.Mean), fmt.Sprint(b.Mean), k)
			require.True(t, math.IsNaN(b.Mean[0]), k)
			continue
		}
		require.Equal(t, a.Min, b.Min, k)
		require.Equal(t, a.Max, b.Max, k)
		require.InEpsilonSlice(t, a.Mean, b.Mean, 1e-9, k)
	}
	require.Equal(t, want.Projections(), got.Projections())
	name := want.Projections()[3]
	require.Equal(t, fmt.Sprint(want.Ternary(name)), fmt.Sprint(got.Ternary(name)))

	// Asking for some numbers gives them as asking for all does.
	some, err := ReadCurves(path, 0, 0, 500, LossMean, TokensPerSec)
	require.NoError(t, err)
	require.EqualValues(t, 60000, some.Lines)
	require.Zero(t, some.Bad)
	for _, k := range []Key{LossMean, TokensPerSec} {
		require.Equal(t, want.Series(k).Max, some.Series(k).Max)
	}
	require.Equal(t, len(want.Projections()), len(some.Projections()))
	last := some.Ternary(name)[0]
	require.False(t, math.IsNaN(last[len(last)-1]))

	part, err := ReadCurves(path, 1000, 1099, 500)
	require.NoError(t, err)
	require.EqualValues(t, 100, part.Lines)
	require.EqualValues(t, 1000, part.X(BySteps)[0])
	for _, steps := range [][2]int64{{8, 5}, {70000, 1}, {70000, 80000}, {1 << 62, math.MaxInt64}} {
		empty, err := ReadCurves(path, steps[0], steps[1], 500)
		require.NoError(t, err)
		require.Zero(t, empty.Lines)
	}
	beyond, err := ReadCurves(path, 70000, 0, 500)
	require.NoError(t, err)
	require.Zero(t, beyond.Lines)
	none, err := ReadCurves(path+"x", 0, 0, 500)
	require.NoError(t, err)
	require.Zero(t, none.Lines)
}

func TestNaturally(t *testing.T) {
	for _, row := range [][2]string{{"a.2.b", "a.10.b"}, {"a", "b"}, {"a", "ab"}, {"a1", "a01x"}, {"", "a"}, {"2", "a"}, {"99999999999999999998", "99999999999999999999"}} {
		require.Negative(t, naturally(row[0], row[1]), row)
		require.Positive(t, naturally(row[1], row[0]), row)
	}
	require.Zero(t, naturally("a.2", "a.2"))
}

// broken is a file that makes its reader panic.
type broken struct{}

func (broken) ReadAt([]byte, int64) (int, error) { panic("a fault") }

// A panic while a log is read is an error of that log: it must not end a server.
func TestPanicOfAReader(t *testing.T) {
	_, err := readPart(broken{}, 0, 3*chunk, 10, 4)
	require.ErrorContains(t, err, "a fault")
}
