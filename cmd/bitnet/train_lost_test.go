package main

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"bitnet/gpu/dawn"
)

// children are the processes that this one has started, on Linux.
func children() []int {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", os.Getpid()))
	var out []int
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // the thread has ended
		}
		for _, word := range strings.Fields(string(text)) {
			if pid, err := strconv.Atoi(word); err == nil {
				out = append(out, pid)
			}
		}
	}
	return out
}

// TestTrainLostDevice ends the process that drives the GPU in the middle of a
// run: training continues, and its end is that of a run that nothing happened to.
func TestTrainLostDevice(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("finds the process to end through /proc")
	}
	if err := dawn.Installed(); err != nil {
		t.Skip(err)
	}
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	dir := t.TempDir()
	steps := []string{"--backend", "dawn", "--num-steps", "40"}
	done, killed := make(chan struct{}), make(chan bool, 1)
	go func() { // as soon as there is a checkpoint
		defer close(killed)
		for {
			select {
			case <-done:
				return
			case <-time.After(time.Millisecond):
			}
			if _, err := os.Stat(filepath.Join(dir, "run", "checkpoints", "step_00000004")); err != nil {
				continue
			}
			for _, pid := range children() {
				p, err := os.FindProcess(pid)
				killed <- err == nil && p.Kill() == nil
				return
			}
		}
	}()
	out, _, err := runTrain(t, small(dir, steps...)...)
	close(done)
	require.NoError(t, err)
	require.True(t, <-killed, "the process was ended")
	require.Contains(t, out, "opening it again, to continue from step ")

	undisturbed := t.TempDir()
	_, _, err = runTrain(t, small(undisturbed, steps...)...)
	require.NoError(t, err)
	weights := func(dir string) []byte {
		b, err := os.ReadFile(filepath.Join(dir, "run", "checkpoints", "step_00000040", "model.safetensors"))
		require.NoError(t, err)
		return b
	}
	require.True(t, string(weights(undisturbed)) == string(weights(dir)), "the same weights to the bit")
}
