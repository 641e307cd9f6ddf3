package plainfile

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestOnlyFiles(t *testing.T) {
	dir := t.TempDir()
	good := filepath.Join(dir, "good")
	require.NoError(t, os.WriteFile(good, []byte("hello"), 0o644))
	b, err := Read(good, 5)
	require.NoError(t, err)
	require.Equal(t, "hello", string(b))
	_, err = Read(good, 4)
	require.ErrorContains(t, err, "larger than 4 bytes")
	_, err = Open(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.NotContains(t, err.Error(), dir)
	_, err = Open(dir)
	require.ErrorContains(t, err, "a folder")
	if _, err := os.Stat("/dev/zero"); err == nil {
		_, err = Read("/dev/zero", 10)
		require.ErrorContains(t, err, "a device")
	}
}

// Opening a FIFO for reading waits for a writer, unless it is refused.
func TestNamedPipe(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := exec.Command("mkfifo", pipe).Run(); err != nil {
		t.Skip("this system makes no named pipes:", err)
	}
	got := make(chan error, 1)
	go func() {
		_, err := Open(pipe)
		got <- err
	}()
	select {
	case err := <-got:
		require.ErrorContains(t, err, "named pipe")
	case <-time.After(5 * time.Second):
		t.Fatal("Open waits for a writer")
	}
}
