//go:build !js

package hub

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/data/hub/hubtest"
)

// A cache that another program filled has no listing of ours.
func TestForeignCache(t *testing.T) {
	commit := strings.Repeat("c", 40)
	hash := strings.Repeat("d", 64)
	cache := t.TempDir()
	root := filepath.Join(cache, "datasets--org--name")
	require.NoError(t, os.MkdirAll(filepath.Join(root, "blobs"), 0o777))
	require.NoError(t, os.MkdirAll(filepath.Join(root, "snapshots", commit, "data"), 0o777))
	require.NoError(t, os.MkdirAll(filepath.Join(root, "refs"), 0o777))
	require.NoError(t, os.WriteFile(filepath.Join(root, "refs", "main"), []byte(commit), 0o666))
	require.NoError(t, os.WriteFile(filepath.Join(root, "blobs", hash), []byte("text"), 0o666))
	require.NoError(t, link(t.Context(), filepath.Join(root, "blobs", hash), filepath.Join(root, "snapshots", commit, "data", "a.parquet")))
	c, err := New(Config{Cache: cache, Offline: true})
	require.NoError(t, err)
	snap, err := c.List(t.Context(), dataset(t, "org/name"))
	require.NoError(t, err)
	require.True(t, snap.Partial)
	require.Len(t, snap.Files, 1)
	require.Equal(t, "data/a.parquet", snap.Files[0].Path)
	require.EqualValues(t, 4, snap.Files[0].Size)
	p, err := c.Download(t.Context(), snap, snap.Files[0], nil)
	require.NoError(t, err)
	b, err := os.ReadFile(p)
	require.NoError(t, err)
	require.Equal(t, "text", string(b))
}

func TestWithoutSymlinks(t *testing.T) {
	symlink = func(string, string) error { return errors.New("not allowed") }
	defer func() { symlink = os.Symlink }()
	s := hubtest.New(t)
	files := testFiles()
	s.Add("datasets", "org/name", files)
	c := client(t, s, nil)
	snap, err := c.List(t.Context(), dataset(t, "org/name"))
	require.NoError(t, err)
	paths, err := c.downloadAll(t.Context(), snap, snap.Files, 2)
	require.NoError(t, err)
	for i, p := range paths {
		info, err := os.Lstat(p)
		require.NoError(t, err)
		require.True(t, info.Mode().IsRegular())
		b, err := os.ReadFile(p)
		require.NoError(t, err)
		require.Equal(t, files[snap.Files[i].Path], b)
	}
}
