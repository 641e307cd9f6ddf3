package main

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/doctor"
)

func TestDoctorCommand(t *testing.T) {
	t.Setenv("BITNET_DAWN", t.TempDir())
	runs := filepath.Join(t.TempDir(), "runs")
	run := func(args ...string) (string, error) {
		root := rootCommand()
		out := new(bytes.Buffer)
		root.SetOut(out)
		root.SetErr(new(bytes.Buffer))
		root.SetArgs(append([]string{"doctor", "--runs-dir", runs, "--device", "no such card"}, args...))
		err := root.Execute()
		return out.String(), err
	}
	text, err := run()
	require.ErrorContains(t, err, `failed: follow the advice after "->"`)
	require.Contains(t, text, "fail  adapter")
	require.Contains(t, text, "-> ")

	text, err = run("--json")
	require.ErrorContains(t, err, `failed: follow the advice after "->"`)
	var report struct {
		Failed   int
		Findings []doctor.Finding
	}
	require.NoError(t, json.Unmarshal([]byte(text), &report))
	require.Positive(t, report.Failed)
	require.Equal(t, doctor.Fail, report.Findings[0].Grade)
	for _, f := range report.Findings {
		require.Equal(t, f.Grade == doctor.OK, f.Do == "", f.Says)
	}
}
