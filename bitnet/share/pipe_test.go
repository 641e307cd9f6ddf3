//go:build unix

package share

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/modelfile/modelfiletest"
)

// A pipe in a folder is refused, and not waited for.
func TestPackPipe(t *testing.T) {
	dir := modelfiletest.Dir(t, true, nil)
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	_, err := Pack(t.Context(), dir, Options{})
	require.ErrorContains(t, err, "named pipe")
}
