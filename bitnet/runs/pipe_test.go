//go:build unix

package runs

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A named pipe in place of a file of a run is refused, and not waited for.
func TestPipesInARun(t *testing.T) {
	r := newRun(t, map[string]string{"config.yaml": config})
	checkpoint := filepath.Join(r.Dir, "checkpoints", "step_00000007")
	require.NoError(t, os.MkdirAll(checkpoint, 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(r.Dir, "logs"), 0o755))
	require.NoError(t, syscall.Mkfifo(filepath.Join(checkpoint, stateName), 0o600))
	require.NoError(t, syscall.Mkfifo(r.Log(metricsLog), 0o600))
	done := make(chan struct{})
	var state, status, curves error
	go func() {
		defer close(done)
		_, state = ReadState(checkpoint)
		_, status = r.Status()
		_, curves = ReadCurves(r.Log(metricsLog), 0, 0, 10)
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("something waits for a writer")
	}
	for _, err := range []error{state, status, curves} {
		require.ErrorContains(t, err, "this is a named pipe")
	}
}
