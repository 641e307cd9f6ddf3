package plainfile

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBelow(t *testing.T) {
	root := filepath.Join(t.TempDir(), ".root") // its own name does not count
	for _, name := range []string{"b", "a/c", "a/.d", ".e/f", "a/g/h"} {
		path := filepath.Join(root, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, nil, 0o644))
	}
	var got []string
	require.NoError(t, Below(root, func(path string, d fs.DirEntry) error {
		rel, err := filepath.Rel(root, path)
		got = append(got, filepath.ToSlash(rel))
		return err
	}))
	require.Equal(t, []string{"a/c", "a/g/h", "b"}, got)
	require.ErrorIs(t, Below(root, func(string, fs.DirEntry) error { return fs.ErrInvalid }), fs.ErrInvalid)
	require.ErrorIs(t, Below(filepath.Join(root, "nothing"), nil), fs.ErrNotExist)
}
