package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/bench/report"
)

// Mistakes end before anything is measured, and leave no folder.
func TestBenchReportMistakes(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, os.WriteFile("peak.json", []byte(`{"bench": "peak"}`), 0o600))
	for _, row := range []struct {
		args string
		code int
		want string
	}{
		{"--minutes 0", 2, "want from 0.5 to 1440"},
		{"--minutes NaN", 2, "want from 0.5 to 1440"},
		{"now", 2, "flags only"},
		{"--compare none.json", 1, "no such file"},
		{"--compare peak.json", 1, "bench peak, not of bench report"},
		{"--backend none", 1, "no backend is called"},
		{"--backend wgpu --device no-such-card", 1, "adapter"},
	} {
		_, stderr, code := command(t, append([]string{"bench", "report"}, strings.Fields(row.args)...)...)
		require.Equal(t, row.code, code, "%s: %s", row.args, stderr)
		require.Contains(t, stderr, row.want, row.args)
		require.Equal(t, 1, strings.Count(stderr, "\n"), stderr)
	}
	found, err := filepath.Glob("report*")
	require.NoError(t, err)
	require.Empty(t, found)
}

// The hidden command of a part says whose it is.
func TestBenchPart(t *testing.T) {
	root := rootCommand()
	root.SetArgs([]string{"bench", "part"})
	root.SetIn(strings.NewReader(""))
	root.SetOut(new(bytes.Buffer))
	root.SetErr(new(bytes.Buffer))
	require.ErrorContains(t, root.Execute(), "part of bitnet bench report")
	help, _, code := command(t, "bench", "--help")
	require.Zero(t, code)
	require.Contains(t, help, "report")
	require.NotContains(t, help, "A part of")
}

func TestVerdict(t *testing.T) {
	part := func(p report.Parity) *report.Report {
		return &report.Report{Parts: []report.Part{{Result: report.Result{Parity: &p}}}}
	}
	require.NoError(t, verdict(part(report.Parity{Steps: 40, Worst: 1e-4})))
	require.ErrorContains(t, verdict(part(report.Parity{Steps: 40, Worst: 1})), "wrong")
	require.ErrorContains(t, verdict(&report.Report{}), "nothing could be checked")
}
