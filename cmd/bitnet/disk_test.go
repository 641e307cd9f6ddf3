package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestMain is the program itself in a child of a test.
func TestMain(m *testing.M) {
	if os.Getenv("BITNET_TEST_PROGRAM") == "" {
		os.Exit(m.Run())
	}
	main()
	os.Exit(0)
}

// A full disk ends a run at its next checkpoint with one line; the checkpoint
// before is whole, and the run goes on from it when there is space.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk")
	require.NoError(t, os.Mkdir(disk, 0o755))
	// A small disk in a mount namespace of its own, which any user may have on
	// most Linux systems.
	onDisk := func(kib int64, script string, args ...string) (string, error) {
		mount := fmt.Sprintf("mount -t tmpfs -o size=%dk tmpfs %s && ", kib, disk)
		cmd := exec.Command("unshare", append([]string{"-rm", "sh", "-c", mount + script, "sh"}, args...)...)
		cmd.Env = append(os.Environ(), "BITNET_TEST_PROGRAM=1")
		var errs strings.Builder
		cmd.Stderr = &errs
		err := cmd.Run()
		return errs.String(), err
	}
	if errs, err := onDisk(64, "true"); err != nil {
		t.Skipf("no small disk to be had here: %v %s", err, errs)
	}
	args := small(dir, "--checkpoint-interval", "5", "--num-steps", "20", "--run-id", "whole")
	_, _, err := runTrain(t, args...)
	require.NoError(t, err)
	whole := filepath.Join(dir, "whole", "checkpoints", "step_00000020")

	// The run is cut to its first checkpoint and has space for half of another.
	run := filepath.Join(dir, "run")
	require.NoError(t, os.CopyFS(run, os.DirFS(filepath.Join(dir, "whole"))))
	list, err := filepath.Glob(filepath.Join(run, "checkpoints", "step_*"))
	require.NoError(t, err)
	require.Greater(t, len(list), 2)
	for _, c := range list[1:] {
		require.NoError(t, os.RemoveAll(c))
	}
	size := int64(0)
	files, err := os.ReadDir(list[0])
	require.NoError(t, err)
	for _, f := range files {
		info, err := f.Info()
		require.NoError(t, err)
		size += info.Size()
	}
	back := filepath.Join(dir, "back")
	errs, err := onDisk(size*3/2>>10+64, `cp -r "$2" "$1/run" || exit 9; "$4" train --resume "$1/run" >/dev/null; code=$?; cp -r "$1/run" "$3"; exit $code`,
		disk, run, back, os.Args[0])
	var exit *exec.ExitError
	require.True(t, errors.As(err, &exit), "it ends well on a full disk")
	require.Equal(t, 1, exit.ExitCode(), errs)
	require.Equal(t, 1, strings.Count(errs, "\n"), errs)
	require.Contains(t, errs, "bitnet: writing checkpoint "+filepath.Join(disk, "run", "checkpoints"))
	require.Contains(t, errs, "no space left on device; free some space")
	left, err := os.ReadDir(filepath.Join(back, "checkpoints"))
	require.NoError(t, err)
	require.Len(t, left, 1, "nothing half-written is left")
	require.NoFileExists(t, filepath.Join(back, "logs", "alive.json"))

	_, _, err = runTrain(t, "--resume", back)
	require.NoError(t, err)
	for _, name := range []string{"model.safetensors", "optimizer.safetensors"} {
		want, err := os.ReadFile(filepath.Join(whole, name))
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(back, "checkpoints", "step_00000020", name))
		require.NoError(t, err)
		require.True(t, string(want) == string(got), name)
	}
}
