//go:build unix

package main

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/bitnet/runs"
)

// startTraining starts a long run as a program of its own, and waits for its
// first step.
func startTraining(t *testing.T, dir string) (cmd *exec.Cmd, out io.ReadCloser, lines *bufio.Scanner) {
	t.Helper()
	cmd = exec.Command(os.Args[0], append([]string{"train"}, small(dir, "--num-steps", "100000", "--run-id", "run", "--log-interval", "5", "--checkpoint-interval", "0")...)...)
	cmd.Env = append(os.Environ(), "BITNET_TEST_PROGRAM=1")
	cmd.Stderr = io.Discard
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines = bufio.NewScanner(out)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "step 10/") {
			return cmd, out, lines
		}
	}
	t.Fatal("training ended before its tenth step")
	return nil, nil, nil
}

// Each signal that asks a program to end saves a checkpoint. Under nohup, SIGHUP does not ask.
func TestSignalsSaveACheckpoint(t *testing.T) {
	signals := []syscall.Signal{syscall.SIGINT, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	for _, signal := range signals {
		dir := t.TempDir()
		cmd, _, lines := startTraining(t, dir)
		require.NoError(t, cmd.Process.Signal(signal))
		var rest []string
		for lines.Scan() {
			rest = append(rest, lines.Text())
		}
		err := cmd.Wait()
		require.Error(t, err)
		require.Equal(t, 130, cmd.ProcessState.ExitCode(), signal)
		text := strings.Join(rest, "\n")
		require.Contains(t, text, "stopping after this step", signal)
		require.NotContains(t, text, "|", "nothing is sampled when somebody waits: %s", signal)
		_, state, err := runs.FindCheckpoint(filepath.Join(dir, "run"), func(s string) { t.Error(s) })
		require.NoError(t, err, signal)
		require.GreaterOrEqual(t, state.Step, int64(10))
		require.NoFileExists(t, filepath.Join(dir, "run", "logs", "alive.json"))
	}
}

// A closed output does not end training: it continues without it.
func TestClosedOutput(t *testing.T) {
	dir := t.TempDir()
	cmd, out, _ := startTraining(t, dir)
	require.NoError(t, out.Close())
	r, err := runs.Open(filepath.Join(dir, "run"))
	require.NoError(t, err)
	before := r.Info().Step
	require.Eventually(t, func() bool { return r.Info().Step >= before+20 }, time.Minute, 20*time.Millisecond)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.Error(t, cmd.Wait())
	require.Equal(t, 130, cmd.ProcessState.ExitCode())
	_, _, err = runs.FindCheckpoint(filepath.Join(dir, "run"), func(s string) { t.Error(s) })
	require.NoError(t, err)
}
