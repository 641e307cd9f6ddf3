package main

import (
	"bytes"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExport(t *testing.T) {
	out := filepath.Join(t.TempDir(), "m.gguf")
	var stdout bytes.Buffer
	root := rootCommand()
	root.SetArgs([]string{"export", "../../testdata/tictactoe", "--format", "gguf", "--output", out, "--check", "--verify"})
	root.SetOut(&stdout)
	require.NoError(t, root.Execute())
	require.FileExists(t, out)
	for _, want := range []string{"wrote gguf q4_0", "read again: all 35 tensors", "largest difference of logits", "expect from llama.cpp"} {
		require.Contains(t, stdout.String(), want)
	}

	root = rootCommand()
	root.SetArgs([]string{"export", "../../testdata/tictactoe"})
	require.ErrorAs(t, root.Execute(), new(usageError))
}
