package main

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTrainSize(t *testing.T) {
	data := "../../docs"
	dry := func(args ...string) (string, error) {
		return use(t, trainCommand(), "", append([]string{"--data", data, "--dry-run"}, args...)...)
	}
	out, err := dry("--exp", "text", "--size", "small", "--num-steps", "30")
	require.NoError(t, err)
	require.NotContains(t, out, "measuring") // the steps are known
	require.Contains(t, out, "tokens per step     4096 (16 sequences x 256 tokens x 1 micro-batches)")
	require.Contains(t, out, "total tokens        122880")

	out, err = dry("--exp", "text", "--size", "tiny", "--set", "hidden_size=16", "--set", "intermediate_size=16", "--set", "num_hidden_layers=1", "--set", "vocab_size=64", "--batch-size", "1")
	require.NoError(t, err)
	require.Regexp(t, `size tiny: [0-9,]+ parameters at [0-9]+ tokens/s: [0-9,]+ steps, [0-9,]+ tokens \([0-9.]+ per parameter\), about `, out)
	require.Contains(t, out, "tokens per step     128 ")

	for message, args := range map[string][]string{
		"--size is for --exp text":    {"--exp", "simple", "--size", "tiny"},
		"did you mean small?":         {"--exp", "text", "--size", "smal"},
		"--init brings its own model": {"--exp", "text", "--size", "tiny", "--init", "x"},
	} {
		_, err := dry(args...)
		require.ErrorContains(t, err, message)
		require.True(t, isUsage(err), message)
	}
}
