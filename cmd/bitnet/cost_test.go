package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCostCommand(t *testing.T) {
	step := filepath.Join(t.TempDir(), "step.json")
	require.NoError(t, os.WriteFile(step, []byte(`{"bench":"step","result":{"device":"a card","experiment":"simple","gflops":594.6}}`), 0o600))
	for _, row := range []struct {
		args []string
		want string // "" for an error of usage
		err  string
	}{
		{[]string{"--params", "350M"}, "7,000,000,000", ""},
		{[]string{"--params", "1.5b", "--tokens", "3,000M", "--device", "4090", "--price", "2"}, "money", ""},
		{[]string{"--exp", "baseline", "--device", "rtx 3060"}, "95,398,656 parameters", ""},
		{[]string{"--exp", "text", "--matrix"}, "f16 matrix units", ""},
		{[]string{"--exp", "baseline", "--set", "model.vocab_size=2048"}, "72,395,520 parameters", ""},
		{[]string{"--params", "1M", "--bench", step}, "99100", ""},
		{nil, "", "--params 350M, --exp NAME, --config FILE"},
		{[]string{"--params", "1M", "--exp", "simple"}, "", "one of"},
		{[]string{"--params", "many"}, "", `--params "many"`},
		{[]string{"--params", "-5M"}, "", "want a number"},
		{[]string{"--params", "1M", "--tokens", "0.0001"}, "", "--tokens"},
		{[]string{"--params", "1M", "--share", "1.5"}, "", "--share"},
		{[]string{"--params", "1M", "--share", "0"}, "", "--share"},
		{[]string{"--params", "1M", "--price", "-1"}, "", "--price"},
		{[]string{"--params", "1M", "--device", "this"}, "", "--exp or --config"},
		{[]string{"--params", "1M", "--device", "4090", "--bench", step}, "", "not both"},
	} {
		root := rootCommand()
		out := new(bytes.Buffer)
		root.SetOut(out)
		root.SetErr(new(bytes.Buffer))
		root.SetArgs(append([]string{"cost"}, row.args...))
		err := root.Execute()
		if row.want == "" {
			require.ErrorContains(t, err, row.err, row.args)
			require.True(t, errors.As(err, new(usageError)), row.args)
			continue
		}
		require.NoError(t, err, row.args)
		require.Contains(t, out.String(), row.want, row.args)

		root.SetArgs(append([]string{"cost", "--json"}, row.args...))
		out.Reset()
		require.NoError(t, root.Execute(), row.args)
		var r costReport
		require.NoError(t, json.Unmarshal(out.Bytes(), &r), row.args)
		require.Positive(t, r.Params)
		require.Positive(t, r.Flops)
		require.NotEmpty(t, r.Estimates)
		for _, e := range r.Estimates {
			require.Positive(t, e.Seconds, e.Device)
		}
	}
}

func TestDuration(t *testing.T) {
	for seconds, want := range map[float64]string{
		5: "5.0 s", 90: "2 min", 3600: "1 h 00 min", 5400: "1 h 30 min", 49 * 3600: "2.0 days", 3 * 365.25 * 86400: "3.0 years",
	} {
		require.Equal(t, want, duration(seconds))
	}
}
