package export

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/modelfile/modelfiletest"
	"bitnet/data/tokenizer"
)

func FuzzReadGGUF(f *testing.F) {
	c, m := modelfiletest.Small(true)
	dir := f.TempDir()
	modelfiletest.Write(f, dir, c, m)
	w, err := modelfile.ReadWeights(dir)
	require.NoError(f, err)
	tok, err := tokenizer.Characters("abcd")
	require.NoError(f, err)
	vocab, err := newGGUFVocab(tok, c.VocabSize, func(string) {})
	require.NoError(f, err)
	path := filepath.Join(dir, "m.gguf")
	for _, typ := range []string{"f32", "f16"} {
		e := &exporter{config: c, weights: w, done: Result{Type: typ}}
		require.NoError(f, e.writeGGUF(path, "m", vocab))
		file, err := os.ReadFile(path)
		require.NoError(f, err)
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		require.NoError(t, os.WriteFile(path, file, 0o644))
		w, _, err := readGGUF(path)
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		_, err = w.Forward([]uint32{1, 2}, modelfile.PerToken)
		require.NoError(t, err)
	})
}
