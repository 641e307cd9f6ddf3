package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/runs"
)

func TestPlot(t *testing.T) {
	const run = "testdata/run/simple"
	out, err := bitnetOutput(t, "plot", run)
	require.NoError(t, err)
	golden(t, "plot.golden", out)

	dir := crashed(t, "other\x1b[31m")
	file := filepath.Join(t.TempDir(), "both.png")
	out, err = bitnetOutput(t, "plot", run, dir, "-o", file, "--compare", "--smooth", "--x", "time")
	require.NoError(t, err)
	require.NotContains(t, out, "\x1b")
	require.Regexp(t, `at step 18: loss +2\.374 +2\.374\n`, out)
	require.Regexp(t, `state +finished +crashed\n`, out)
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	_, err = png.Decode(bytes.NewReader(text))
	require.NoError(t, err)
}

func TestPlotMistakes(t *testing.T) {
	const run = "testdata/run/simple"
	for _, row := range []struct {
		args  []string
		usage bool
		want  string
	}{
		{[]string{run, "-o", "x.jpg"}, true, ".png or .svg"},
		{[]string{run, "--x", "miles"}, true, "step, tokens or time"},
		{[]string{run, "--smooth=1"}, true, "below 1"},
		{[]string{run, "--compare"}, true, "two runs"},
		{[]string{"--exp", "simple"}, true, "are for --schedule"},
		{[]string{run, "--set", "steps=3"}, true, "are for --schedule"},
		{[]string{run, "--schedule", "--exp", "simple"}, true, "not both"},
		{[]string{"--schedule", "--smooth", "--exp", "simple"}, true, "leave out"},
		{[]string{"--schedule", "--exp", "simple", "--set", "schedule=step"}, false, "two-stage, trapezoid, cosine"},
		{[]string{run, "--schedule", "--num-steps", "0"}, false, "at least 1"},
		{[]string{"nothing"}, false, "there is no run nothing"},
		{[]string{run, "-o", filepath.Join(t.TempDir(), "none", "x.png")}, false, "writing the chart"},
	} {
		_, err := bitnetOutput(t, append([]string{"plot"}, row.args...)...)
		require.ErrorContains(t, err, row.want, row.args)
		var u usageError
		require.Equal(t, row.usage, errors.As(err, &u), row.args)
	}
}

// The schedule of an experiment, and of a run with a change.
func TestPlotSchedule(t *testing.T) {
	out, err := bitnetOutput(t, "plot", "--schedule", "--exp", "arithmetic", "--set", "schedule=trapezoid")
	require.NoError(t, err)
	golden(t, "plot_schedule.golden", out)
	file := filepath.Join(t.TempDir(), "schedule.svg")
	out, err = bitnetOutput(t, "plot", "--schedule", "testdata/run/simple", "testdata/run/simple", "--num-steps", "50", "--set", "schedule=cosine", "-o", file)
	require.NoError(t, err)
	require.Contains(t, out, "shows simple, schedule cosine, simple, schedule cosine")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	for _, want := range []string{"learning rate", "weight decay", "schedule cosine"} {
		require.Contains(t, string(text), want)
	}
	require.NotContains(t, string(text), "lowest to highest", "each point is one step")
}

// Bits per byte are shown wherever evaluations are.
func TestBitsPerByteAreShown(t *testing.T) {
	const plain = "testdata/run/simple"
	dir := crashed(t, "bits")
	log, err := os.OpenFile(filepath.Join(dir, "logs", "eval.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	require.NoError(t, err)
	e := runs.Eval{Step: 18, Loss: 2, Perplexity: 7.389, Tokens: 1000, Scores: []runs.Score{runs.NewBitsPerByte(2, 1000, 3000)}}
	require.NoError(t, json.NewEncoder(log).Encode(e))
	require.NoError(t, log.Close())

	out, err := bitnetOutput(t, "plot", dir, plain, "--compare")
	require.NoError(t, err)
	require.Regexp(t, `bits per byte, best +0\.9618 +-\n`, out) // 2 / 3 / ln 2
	require.Contains(t, out, "bits per byte\n")
	out, err = bitnetOutput(t, "status", dir)
	require.NoError(t, err)
	require.Regexp(t, `bits per byte +0\.9618 over 3,000 bytes\n`, out)
	require.Contains(t, evalLine(e), "perplexity 7.39, bits per byte 0.9618 over 3,000 bytes")
	var printed bytes.Buffer
	printEval(&printed, &e)
	require.Contains(t, printed.String(), "bits per byte: 0.9618 over 3,000 bytes\n")
}
