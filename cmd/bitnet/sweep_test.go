package main

import (
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"
)

// A sweep trains, ranks, is continued by the same command, and gives a
// configuration that trains.
func TestSweep(t *testing.T) {
	dir := t.TempDir()
	args := []string{"sweep", "--exp", "simple", "--num-steps", "4", "--set", "batch_size=2", "--set", "eval_samples=8", "--set", "tuning=off",
		"--over", "learning_rate=1e-5,1e-2", "--sweeps-dir", dir, "--name", "rates"}
	out, err := bitnetOutput(t, append(args, "--max-trials", "1")...)
	require.NoError(t, err)
	require.Contains(t, out, "2 trials")
	require.Contains(t, out, "settings that are not finished yet: 1")
	require.Contains(t, out, "the budget is spent; bitnet sweep ")
	out, err = bitnetOutput(t, args...)
	require.NoError(t, err)
	require.Contains(t, out, "continuing the sweep in")
	require.Regexp(t, regexp.MustCompile(`(?m)^1 +1e-2 +[0-9.]+ +4 +002$`), out)
	require.Regexp(t, regexp.MustCompile(`(?m)^2 +1e-5 +[0-9.]+ +4 +001$`), out)
	folder := filepath.Join(dir, "rates")
	again, err := bitnetOutput(t, "sweep", folder, "--results")
	require.NoError(t, err)
	require.Contains(t, again, "002")
	chart, err := os.ReadFile(filepath.Join(folder, "sweep.svg"))
	require.NoError(t, err)
	require.Contains(t, string(chart), "<svg")
	out, err = bitnetOutput(t, "train", "--config", filepath.Join(folder, "best.yaml"), "--dry-run")
	require.NoError(t, err)
	require.NotEmpty(t, out)
}

func TestSweepMistakes(t *testing.T) {
	dir := t.TempDir()
	for _, row := range []struct {
		args  []string
		usage bool
		want  string
	}{
		{[]string{"--exp", "simple"}, true, "--over KEY=A,B,C"},
		{[]string{"--over", "learning_rate=1,2"}, true, "choose what to train"},
		{[]string{"--exp", "simple", "--over", "learning_rate"}, true, "want KEY=A,B,C"},
		{[]string{"--exp", "simple", "--over", "learning_rate=1e-3..1e-2"}, true, "is a range"},
		{[]string{"--exp", "simple", "--over", "steps=1,2", "--over", "steps=3"}, true, "twice"},
		{[]string{"--exp", "simple", "--over", "learning_rte=1,2"}, true, "did you mean"},
		{[]string{"--exp", "simple", "--over", "steps=1,2", "--name", "../x"}, true, "plain name"},
		{[]string{"--exp", "simple", "--over", "steps=1,2", "--random", "-1"}, true, "--random -1"},
		{[]string{dir, "--exp", "simple"}, true, "not both"},
		{[]string{"--results"}, true, "needs the folder"},
		{[]string{dir}, false, "not the folder of a sweep"},
	} {
		_, err := bitnetOutput(t, append([]string{"sweep", "--sweeps-dir", dir}, row.args...)...)
		require.ErrorContains(t, err, row.want, row.args)
		var u usageError
		require.Equal(t, row.usage, errors.As(err, &u), row.args)
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, entries, "nothing was left")
}
