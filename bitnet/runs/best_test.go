package runs

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// evalLines are the lines of eval.jsonl for losses of steps 10, 20, ...
func evalLines(losses ...string) string {
	var b strings.Builder
	for i, loss := range losses {
		fmt.Fprintf(&b, `{"step":%d,"loss":%s,"perplexity":1,"tokens":1}`+"\n", 10*(i+1), loss)
	}
	return b.String()
}

func TestBest(t *testing.T) {
	for _, row := range []struct {
		losses []string
		lowest int64 // its step, 0 for none
		since  int
	}{
		{nil, 0, 0},
		{[]string{"null", "null"}, 0, 2},
		{[]string{"3", "2", "2.5", "2"}, 20, 2},
		{[]string{"3", "null", "1"}, 30, 0},
		{[]string{"1", "null", "null", "2"}, 10, 3},
	} {
		b, err := newRun(t, map[string]string{"logs/eval.jsonl": evalLines(row.losses...)}).Best()
		require.NoError(t, err)
		require.Equal(t, row.since, b.Since, row.losses)
		require.Nil(t, b.Kept, "no checkpoint is there")
		if row.lowest == 0 {
			require.Nil(t, b.Lowest)
		} else {
			require.Equal(t, row.lowest, b.Lowest.Step, row.losses)
		}
	}
}

// RUN@best is the whole checkpoint of the lowest loss.
func TestFindBest(t *testing.T) {
	r := newRun(t, map[string]string{"logs/eval.jsonl": evalLines("4", "1", "2", "3")})
	root := filepath.Dir(r.Dir)
	var notes []string
	find := func(name string) (string, bool, error) {
		return FindBest(root, name, func(s string) { notes = append(notes, s) }, "model")
	}
	_, ok, err := find("a_run@best")
	require.True(t, ok)
	require.ErrorContains(t, err, "no checkpoint of a step that was evaluated")
	save(t, r, 10, "a")
	third := save(t, r, 30, "c")
	save(t, r, 35, "not evaluated")
	for _, name := range []string{"a_run@best", "a_r@best", r.Dir + "@best"} {
		dir, ok, err := find(name)
		require.NoError(t, err)
		require.True(t, ok)
		require.Equal(t, third, filepath.Clean(dir), "the loss of step 20 is lower, but its checkpoint is not there")
	}
	b, err := r.Best()
	require.NoError(t, err)
	require.EqualValues(t, 20, b.Lowest.Step)
	require.EqualValues(t, 30, b.Kept.Step)

	second := save(t, r, 20, "b")
	dir, _, err := find("a_run@best")
	require.NoError(t, err)
	require.Equal(t, second, dir)
	require.Empty(t, notes)
	require.NoError(t, os.Truncate(filepath.Join(second, "model"), 0))
	dir, _, err = find("a_run@best")
	require.NoError(t, err)
	require.Equal(t, third, dir, "a damaged checkpoint is passed over")
	require.Len(t, notes, 1)

	for _, name := range []string{"a_run", "nothing@best", "org/name@best", "a_run@BEST"} {
		_, ok, err := find(name)
		require.NoError(t, err)
		require.False(t, ok, name)
	}
	require.NoError(t, os.CopyFS(filepath.Join(root, "a_runner"), os.DirFS(r.Dir)))
	_, ok, err = find("a_ru@best")
	require.True(t, ok)
	require.ErrorIs(t, err, ErrAmbiguous)
}

// However many evaluations there are, the lowest of all is found, and its checkpoint.
func TestBestOfMany(t *testing.T) {
	losses := slices.Repeat([]string{"2"}, 12_000)
	losses[1] = "1"
	r := newRun(t, map[string]string{"logs/eval.jsonl": evalLines(losses...)})
	first := save(t, r, 20, "a")
	save(t, r, 110_000, "b")
	b, err := r.Best()
	require.NoError(t, err)
	require.EqualValues(t, 20, b.Lowest.Step)
	require.EqualValues(t, 20, b.Kept.Step)
	require.Equal(t, 11_998, b.Since)
	dir, ok, err := FindBest("", r.Dir+"@best", func(s string) { t.Error(s) }, "model")
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, first, dir)
}
