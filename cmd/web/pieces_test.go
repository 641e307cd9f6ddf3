package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/data/text"
)

// A small text is cut into documents that are the text together.
func TestCutSmall(t *testing.T) {
	for name, content := range map[string]string{
		"lines":     strings.Repeat("a line of words\n", 600),
		"blanks":    strings.Repeat("two lines\nof words\n\n", 4000),
		"no spaces": strings.Repeat("ü€😀", 3000),
	} {
		path := filepath.Join(t.TempDir(), "a.txt")
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
		require.NoError(t, cutSmall(context.Background(), path))
		require.NoFileExists(t, path)
		var all strings.Builder
		n := 0
		for d, err := range text.Documents(context.Background(), path+".jsonl", 0, text.Options{}) {
			require.NoError(t, err)
			require.LessOrEqual(t, len(d.Text), 2*max(leastPiece, len(content)/wantedPieces), name)
			all.WriteString(d.Text)
			n++
		}
		require.Equal(t, content, all.String(), name)
		require.GreaterOrEqual(t, n, 8, name)
	}
	large := filepath.Join(t.TempDir(), "large.txt")
	require.NoError(t, os.WriteFile(large, []byte(strings.Repeat("a line of words\n", 100_000)), 0o644))
	require.NoError(t, cutSmall(context.Background(), large))
	require.FileExists(t, large)
	small := filepath.Join(t.TempDir(), "small.txt")
	require.NoError(t, os.WriteFile(small, []byte("hello\n"), 0o644))
	require.ErrorContains(t, cutSmall(context.Background(), small), "too few")
}
