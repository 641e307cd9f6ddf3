package bitnet

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/runs"
)

func TestTrainedBy(t *testing.T) {
	run := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(run, "logs"), 0o755))
	require.Zero(t, trainedBy(run), "no file")
	require.NoError(t, markAlive(run))
	require.Zero(t, trainedBy(run), "this process is not another one")
	unmarkAlive(run)
	require.NoFileExists(t, alivePath(run))
	if runs.StartTicks(os.Getpid()) == 0 {
		t.Skip("no /proc here: other processes cannot be told apart")
	}
	other := exec.Command("sleep", "60")
	require.NoError(t, other.Start())
	defer func() { _ = other.Wait() }()
	defer func() { _ = other.Process.Kill() }()
	host, err := os.Hostname()
	require.NoError(t, err)
	for _, row := range []struct {
		name string
		a    runs.Alive
		want int
	}{
		{"alive", runs.Alive{PID: other.Process.Pid, Host: host, StartTicks: runs.StartTicks(other.Process.Pid)}, other.Process.Pid},
		{"a later process of that number", runs.Alive{PID: other.Process.Pid, Host: host, StartTicks: 1}, 0},
		{"another machine", runs.Alive{PID: other.Process.Pid, Host: host + "x", StartTicks: runs.StartTicks(other.Process.Pid)}, 0},
		{"gone", runs.Alive{PID: 1 << 30, Host: host, StartTicks: 5}, 0},
		{"gone, start unknown", runs.Alive{PID: 1 << 30, Host: host}, 0},
	} {
		text, err := json.Marshal(row.a)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(alivePath(run), text, 0o644))
		require.Equal(t, row.want, trainedBy(run), row.name)
	}
	require.NoError(t, os.WriteFile(alivePath(run), []byte(`{"pid":`), 0o644))
	require.Zero(t, trainedBy(run), "half a file")
}
