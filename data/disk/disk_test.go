package disk

import (
	"errors"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestFree(t *testing.T) {
	dir := t.TempDir()
	free, name, err := Free(dir)
	if runtime.GOOS == "js" {
		require.ErrorIs(t, err, errors.ErrUnsupported)
		return
	}
	require.NoError(t, err)
	require.Positive(t, free)
	require.NotEmpty(t, name)
	later := filepath.Join(dir, "not", "yet")
	require.Equal(t, dir, Nearest(later))
	_, same, err := Free(later)
	require.NoError(t, err)
	require.Equal(t, name, same)
}

func TestSize(t *testing.T) {
	for n, want := range map[int64]string{0: "0 kB", 1: "1 kB", 999_000: "999 kB", 1e6: "1 MB", 27_400_000: "27 MB", 28_440_000_000: "28.4 GB"} {
		require.Equal(t, want, Size(n))
	}
}
