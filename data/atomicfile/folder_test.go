package atomicfile

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFolder(t *testing.T) {
	if !folderLocks {
		t.Skip("there are no locks here, so nothing can be swept")
	}
	parent := filepath.Join(t.TempDir(), "a [strange] name*")
	path := filepath.Join(parent, "model")

	// A killed process leaves its folder; its lock is free.
	killed, err := CreateFolder(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(killed.Dir, "half"), []byte("x"), 0o600))
	require.NoError(t, killed.lock.Close())

	// A process that lives keeps its own.
	busy, err := CreateFolder(path)
	require.NoError(t, err)
	require.Len(t, names(t, parent), 1, "what was left is gone")

	f, err := CreateFolder(path)
	require.NoError(t, err)
	require.DirExists(t, busy.Dir)
	require.NoError(t, os.WriteFile(filepath.Join(f.Dir, "file"), []byte("x"), 0o600))
	require.NoDirExists(t, path)
	require.NoError(t, f.Place())
	require.FileExists(t, filepath.Join(path, "file"))

	_, err = NewFolder(path)
	require.ErrorContains(t, err, path+" exists: choose a new name, or remove it")
	_, err = NewFolder(filepath.Join(path, "file"))
	require.ErrorContains(t, err, "exists", "a file is not replaced either")
	require.ErrorContains(t, busy.Place(), "not empty", "nothing is replaced")
	require.Equal(t, []string{"model"}, names(t, parent))
	require.FileExists(t, filepath.Join(path, "file"))

	// An empty folder is as good as none.
	empty := filepath.Join(parent, "empty")
	require.NoError(t, os.Mkdir(empty, 0o755))
	f, err = NewFolder(empty)
	require.NoError(t, err)
	require.NoError(t, f.Place())
	f, err = NewFolder(filepath.Join(parent, "none"))
	require.NoError(t, err)
	f.Discard()
	require.Equal(t, []string{"empty", "model"}, names(t, parent))
}
