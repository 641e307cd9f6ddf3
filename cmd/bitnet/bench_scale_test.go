package main

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/bench"
	"bitnet/bitnet/model/modeltest"
)

func TestBenchScale(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, row := range []struct {
		args []string
		want string
	}{
		{[]string{"--over", "depth"}, "--over depth: use context, batch, layers or width"},
		{[]string{"--layers", "0,1"}, "--layers: give numbers of 1 or more"},
		{[]string{"--budget", "-1s"}, "give a time such as 5m"},
		{[]string{"--repeat", "0"}, "--repeat 0"},
		{[]string{"-o", "growth.txt"}, "end the name in .png or .svg"},
	} {
		_, stderr, code := command(t, append([]string{"bench", "scale"}, row.args...)...)
		require.Equal(t, 2, code, row.args)
		require.Contains(t, stderr, row.want)
	}
	modeltest.Device(t).Close() // skips the rest where there is none
	shape := []string{"bench", "scale", "--over", "layers", "--layers", "2,1", "--repeat", "1", "--budget", "10m", "-o", "growth.svg"}
	out, stderr, code := command(t, append(shape, "--json")...)
	require.Zero(t, code, stderr)
	var stored struct {
		Bench  string
		Result bench.Scale
	}
	require.NoError(t, json.Unmarshal([]byte(out), &stored))
	require.Equal(t, "scale", stored.Bench)
	require.Equal(t, "simple", stored.Result.Experiment)
	points := stored.Result.Curves[0].Points
	require.Equal(t, []int{1, 2}, []int{points[0].Value, points[1].Value})
	for _, p := range points {
		require.Equal(t, 512, p.Tokens)
		require.Positive(t, p.TokensPerSec)
	}
	require.Greater(t, points[1].Memory, points[0].Memory)
	require.FileExists(t, "growth.svg")
	require.NoError(t, os.WriteFile("before.json", []byte(out), 0o600))

	out, stderr, code = command(t, append(shape, "--compare", "before.json")...)
	require.Zero(t, code, stderr)
	require.Contains(t, out, "exponents: time")
	require.Contains(t, out, "layers 2, memory, MiB")
	require.Contains(t, out, "growth.svg shows the growth")
}
