package mapped

import (
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	for _, text := range []string{"", "a", "hello, mapped world"} {
		path := filepath.Join(dir, "f")
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		f, err := Open(path)
		require.NoError(t, err)
		require.Equal(t, text, string(f.Bytes()))
		require.NoError(t, f.Close())
		require.NoError(t, f.Close())
	}
	_, err := Open(dir)
	require.ErrorContains(t, err, "this is a folder, not a file")
	_, err = Open(filepath.Join(dir, "missing"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestCatchCutFile(t *testing.T) {
	switch runtime.GOOS {
	case "windows":
		t.Skip("a mapped file cannot be cut on Windows")
	case "js":
		t.Skip("the file is in memory as a whole")
	}
	path := filepath.Join(t.TempDir(), "f")
	require.NoError(t, os.WriteFile(path, make([]byte, 1<<20), 0o644))
	f, err := Open(path)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, os.Truncate(path, 0))
	read := func() (sum int, err error) {
		defer Catch(&err, path, debug.SetPanicOnFault(true))
		for _, b := range f.Bytes() {
			sum += int(b)
		}
		return sum, nil
	}
	_, err = read()
	require.ErrorIs(t, err, ErrCut)
	require.ErrorContains(t, err, path)
}

func TestCatchLeavesOtherPanics(t *testing.T) {
	require.PanicsWithValue(t, "mine", func() {
		var err error
		defer Catch(&err, "f", debug.SetPanicOnFault(true))
		panic("mine")
	})
}
