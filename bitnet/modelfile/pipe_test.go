//go:build unix

package modelfile_test

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/modelfile"
)

// A named pipe in place of a file is refused, and not waited for.
func TestPipeIsNoFile(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "config.json"), 0o600))
	_, err := modelfile.ReadHFConfig(dir)
	require.ErrorContains(t, err, "this is a named pipe")
}
