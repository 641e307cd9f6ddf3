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
	for n, want := range map[int64]string{0: "0 KiB", 1: "1 KiB", 1023 << 10: "1023 KiB", 1 << 20: "1 MiB", 27 << 20: "27 MiB", 1 << 30: "1.0 GiB", 28_440_000_000: "26.5 GiB"} {
		require.Equal(t, want, Size(n))
	}
}
