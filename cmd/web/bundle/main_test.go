package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/andybalholm/brotli"
	"github.com/stretchr/testify/require"

	"bitnet/bitnet/web"
)

// A folder that something else is in is not replaced.
func TestReplaceable(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, replaceable(filepath.Join(dir, "new")))
	require.NoError(t, replaceable(dir), "an empty folder")
	require.NoError(t, os.WriteFile(filepath.Join(dir, "index.html"), nil, 0o600))
	require.ErrorContains(t, replaceable(dir), "has other files")
	require.NoError(t, os.WriteFile(filepath.Join(dir, web.Program), nil, 0o600))
	require.NoError(t, replaceable(dir), "what was built before")
	require.Error(t, replaceable(filepath.Join(dir, "index.html")))
}

// What is built takes the place of what was there, whole.
func TestReplace(t *testing.T) {
	parent := t.TempDir()
	out, made := filepath.Join(parent, "web"), filepath.Join(parent, ".web-1")
	for _, dir := range []string{out, made} {
		require.NoError(t, os.Mkdir(dir, 0o755))
	}
	require.NoError(t, os.WriteFile(filepath.Join(out, "old.js"), nil, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(made, "new.js"), nil, 0o600))
	require.NoError(t, replace(out, made))
	entries, err := os.ReadDir(out)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	require.Equal(t, "new.js", entries[0].Name())
	entries, err = os.ReadDir(parent)
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing is left next to it")
}

// Copies hold the same bytes; a file that would not become smaller has none.
func TestCompress(t *testing.T) {
	dir := t.TempDir()
	text := []byte(strings.Repeat("minus one, nought, one; ", 200))
	require.NoError(t, os.Mkdir(filepath.Join(dir, "model"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "model", "a.json"), text, 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "b.js"), []byte("1"), 0o600))
	require.NoError(t, compress(dir, false))
	small, err := os.ReadFile(filepath.Join(dir, "model", "a.json.br"))
	require.NoError(t, err)
	got, err := io.ReadAll(brotli.NewReader(bytes.NewReader(small)))
	require.NoError(t, err)
	require.Equal(t, text, got)
	small, err = os.ReadFile(filepath.Join(dir, "model", "a.json.gz"))
	require.NoError(t, err)
	r, err := gzip.NewReader(bytes.NewReader(small))
	require.NoError(t, err)
	got, err = io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, text, got)
	require.NoFileExists(t, filepath.Join(dir, "b.js.br"))
	require.NoFileExists(t, filepath.Join(dir, "b.js.gz"))

	var out bytes.Buffer
	require.NoError(t, report(&out, dir))
	require.Contains(t, out.String(), "model/a.json")
	require.Contains(t, out.String(), "together")
	require.NotContains(t, out.String(), ".br")
}

// Two files of one name are refused: one of them would be lost.
func TestCopyFiles(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, copyFiles(dir, fstest.MapFS{"a.js": {Data: []byte("1")}, "a_test.go": {}}))
	require.NoFileExists(t, filepath.Join(dir, "a_test.go"))
	require.ErrorContains(t, copyFiles(dir, fstest.MapFS{"a.js": {Data: []byte("2")}}), "two files are called a.js")
}
