package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/modelfile/modelfiletest"
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

// The change of the loss that merging into a float model prints is that of a forward pass
// in float64 over the same tokens.
func TestExportMergeFloat(t *testing.T) {
	const model, rows, seq = "../../testdata/tictactoe", 3, 48
	adapter := modelfiletest.Adapter(t, model, "")
	ids, raw := make([]uint32, rows*seq+1), []byte{}
	for i := range ids {
		ids[i] = uint32(1 + i*i%11)
		raw = binary.LittleEndian.AppendUint16(raw, uint16(ids[i]))
	}
	tokens, out := filepath.Join(t.TempDir(), "ids.u16"), filepath.Join(t.TempDir(), "float")
	require.NoError(t, os.WriteFile(tokens, raw, 0o644))
	export := func(args ...string) (stdout, stderr bytes.Buffer, err error) {
		root := rootCommand()
		root.SetArgs(append([]string{"export", model, "--adapter", adapter, "--merge", "--float", "-o", out}, args...))
		root.SetOut(&stdout)
		root.SetErr(&stderr)
		err = root.Execute()
		return stdout, stderr, err
	}
	stdout, _, err := export("--data", "tokens:"+tokens, "--check", "--license", "mit")
	require.NoError(t, err)
	require.Contains(t, stdout.String(), "all 35 tensors")
	var before, after, change float64
	var count int
	_, err = fmt.Sscanf(stdout.String(), "validation loss %f with the adapter, %f merged: %f over %d tokens", &before, &after, &change, &count)
	require.NoError(t, err, stdout.String())

	w, a, err := modelfile.ReadSource(modelfile.Source{Dir: model, Adapter: adapter})
	require.NoError(t, err)
	loss := func(r modelfile.Rounding) float64 {
		sum := 0.0
		for row := range rows {
			logits, err := w.ForwardAdapted(a, ids[row*seq:][:seq], r)
			require.NoError(t, err)
			for i, l := range logits {
				norm := 0.0
				for _, v := range l {
					norm += math.Exp(v)
				}
				sum += math.Log(norm) - l[ids[row*seq+i+1]]
			}
		}
		return sum / (rows * seq)
	}
	require.Equal(t, rows*seq, count)
	require.InDelta(t, loss(modelfile.Unrounded), after, 2e-4)
	require.InDelta(t, loss(modelfile.PerToken), before, 5e-3) // an activation may round the other way
	require.InDelta(t, after-before, change, 2e-4)
	require.NotEqual(t, before, after)

	card, err := os.ReadFile(filepath.Join(out, "README.md"))
	require.NoError(t, err)
	require.Contains(t, string(card), "A float language model")
	require.NotContains(t, string(card), "are ternary")
	require.NotContains(t, string(card), "bitnet export")

	// Without data there is no figure, and the output says so.
	out = filepath.Join(t.TempDir(), "m.gguf")
	stdout, stderr, err := export("--format", "gguf")
	require.NoError(t, err)
	require.NotContains(t, stdout.String(), "validation loss")
	require.Contains(t, stderr.String(), "not measured: name data with --data")
	require.Contains(t, stdout.String(), "wrote gguf f16")
}
