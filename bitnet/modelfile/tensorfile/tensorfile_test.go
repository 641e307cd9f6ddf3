package tensorfile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCreateAndOpen(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a.x")
	give := func(n int) func(io.Writer) error {
		return func(w io.Writer) error { _, err := w.Write(make([]byte, n)); return err }
	}
	require.NoError(t, Create(path, "X", func(w io.Writer) error { return WriteTensor(w, "a", 3, give(3)) }))
	file, size, err := Open(path, "X", ".x")
	require.NoError(t, err)
	require.EqualValues(t, 3, size)
	require.NoError(t, file.Close())

	for _, c := range []struct {
		data func(io.Writer) error
		want string
	}{
		{give(2), `tensor a: 1 of its 3 bytes were not given`},
		{give(5), `tensor a: 2 bytes more than its shape has room for`},
		{func(io.Writer) error { return errors.New("no more") }, `tensor a: no more`},
	} {
		err := Create(path, "X", func(w io.Writer) error { return WriteTensor(w, "a", 3, c.data) })
		require.ErrorContains(t, err, path)
		require.ErrorContains(t, err, c.want)
		require.NoFileExists(t, path)
	}
	require.ErrorContains(t, Create(filepath.Join(path, "b"), "X", give(1)), "writing a X file")
	_, _, err = Open(path, "X", ".x")
	require.ErrorIs(t, err, os.ErrNotExist)
	_, _, err = Open(t.TempDir(), "X", ".x")
	require.ErrorContains(t, err, "not a regular file; give the path of a .x file")
}
