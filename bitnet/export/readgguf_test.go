package export

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/modelfile"
	"bitnet/data/tokenizer"
)

// A GGUF file becomes a model folder again: the same ternary weights, scales and
// tokens.
func TestReadGGUF(t *testing.T) {
	source := filepath.Join("..", "..", "testdata", "tictactoe")
	out := t.TempDir()
	path := filepath.Join(out, "model.gguf")
	_, err := Export(context.Background(), source, Options{Format: "gguf", Type: "f32", Out: path})
	require.NoError(t, err)
	dir := filepath.Join(out, "again")
	require.NoError(t, ReadGGUF(path, dir))

	want, err := modelfile.ReadWeights(source)
	require.NoError(t, err)
	got, err := modelfile.ReadWeights(dir)
	require.NoError(t, err)
	require.Equal(t, want, got)
	before, err := tokenizer.Load(source)
	require.NoError(t, err)
	after, err := tokenizer.Load(dir)
	require.NoError(t, err)
	require.Equal(t, before.Hash(), after.Hash())
	for _, special := range []func(*tokenizer.Tokenizer) (uint32, bool){(*tokenizer.Tokenizer).BOS, (*tokenizer.Tokenizer).EOS, (*tokenizer.Tokenizer).Pad} {
		a, ok := special(before)
		b, same := special(after)
		require.Equal(t, ok, same)
		require.Equal(t, a, b)
	}
	require.ErrorContains(t, ReadGGUF(path, dir), "exists")

	text, err := os.ReadFile(path)
	require.NoError(t, err)
	for _, cut := range []int{0, 4, 100, len(text) / 2, len(text) - 1} {
		damaged := filepath.Join(out, "damaged.gguf")
		require.NoError(t, os.WriteFile(damaged, text[:cut], 0o644))
		require.Error(t, ReadGGUF(damaged, filepath.Join(out, "new")))
		require.NoDirExists(t, filepath.Join(out, "new"))
	}
}
