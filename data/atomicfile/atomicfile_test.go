package atomicfile

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func names(t *testing.T, dir string) (out []string) {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestWrite(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a.json")
	for _, text := range []string{"first", "", "a longer second"} {
		require.NoError(t, Write(path, []byte(text)))
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, text, string(got))
		require.Equal(t, []string{"a.json"}, names(t, dir))
	}
	plain := filepath.Join(dir, "plain")
	require.NoError(t, os.WriteFile(plain, nil, 0o666))
	want, err := os.Stat(plain)
	require.NoError(t, err)
	got, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, want.Mode(), got.Mode(), "the mode of any new file")
}

func TestWriteInTheWorkingFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	require.NoError(t, Write("a", []byte("x")))
	require.FileExists(t, "a")
}

func TestWriteFails(t *testing.T) {
	dir := t.TempDir()
	require.Error(t, Write(filepath.Join(dir, "nowhere", "a"), nil))
	taken := filepath.Join(dir, "taken")
	require.NoError(t, os.MkdirAll(filepath.Join(taken, "full"), 0o755))
	require.Error(t, Write(taken, []byte("x")), "a folder is not replaced")
	require.DirExists(t, filepath.Join(taken, "full"))
	require.Equal(t, []string{"taken"}, names(t, dir), "nothing is left behind")
}

// Readers see whole files while several write.
func TestWriteAtOnce(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("a file that is open cannot be replaced on Windows")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	require.NoError(t, Write(path, bytes.Repeat([]byte{0}, 4096)))
	var writers sync.WaitGroup
	for w := range 4 {
		writers.Go(func() {
			for range 25 {
				if err := Write(path, bytes.Repeat([]byte{byte(w)}, 4096)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() { writers.Wait(); close(done) }()
	reads := 0
	for running := true; running; reads++ {
		select {
		case <-done:
			running = false
		default:
		}
		got, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Len(t, got, 4096)
		require.Equal(t, bytes.Repeat(got[:1], 4096), got)
	}
	require.Positive(t, reads)
	require.Equal(t, []string{"a"}, names(t, dir))
}

func TestSweep(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []string{".manifest.json.12-0000abcd.tmp", ".hidden", "open.tmp", "manifest.json"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, n), nil, 0o644))
	}
	require.NoError(t, os.Mkdir(filepath.Join(dir, ".folder.tmp"), 0o755))
	require.NoError(t, Sweep(dir))
	require.Equal(t, []string{".folder.tmp", ".hidden", "manifest.json", "open.tmp"}, names(t, dir))
	require.Error(t, Sweep(filepath.Join(dir, "nowhere")))
}

// Names are replaced, moved and removed while they are open for reading, or else, on Windows, once
// they are closed: within the time that Rename and RemoveAll wait.
func TestReplaceWhatIsOpen(t *testing.T) {
	dir := t.TempDir()
	path, other := filepath.Join(dir, "full", "a"), filepath.Join(dir, "b")
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	for _, act := range []func() error{
		func() error { return Rename(other, path) },
		func() error { return RemoveAll(filepath.Dir(path)) },
	} {
		require.NoError(t, os.WriteFile(path, []byte("old"), 0o644))
		require.NoError(t, os.WriteFile(other, []byte("new"), 0o644))
		f, err := os.Open(path)
		require.NoError(t, err)
		closed := time.AfterFunc(200*time.Millisecond, func() { f.Close() })
		require.NoError(t, act())
		closed.Stop()
		f.Close()
	}
	require.NoDirExists(t, filepath.Dir(path))
	require.False(t, InUse(os.ErrNotExist))
}
