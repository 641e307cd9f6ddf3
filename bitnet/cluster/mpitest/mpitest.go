// Package mpitest starts ranks for tests, with every MPI that is installed.
package mpitest

import (
	"fmt"
	"os/exec"
	"testing"
)

// Launcher is an MPI's way to start ranks.
type Launcher struct {
	Name         string
	RankVariable string // of the environment of each rank
	command      []string
}

// all are the MPIs that Debian has, which can be installed side by side.
var all = []Launcher{
	{"Open MPI", "OMPI_COMM_WORLD_RANK", []string{"mpirun.openmpi", "--allow-run-as-root", "--oversubscribe"}},
	{"MPICH", "PMI_RANK", []string{"mpirun.mpich"}},
}

// Launchers are those that are installed; the test is skipped where there is none.
func Launchers(t *testing.T) []Launcher {
	t.Helper()
	var found []Launcher
	for _, l := range all {
		if _, err := exec.LookPath(l.command[0]); err == nil {
			found = append(found, l)
		} else {
			t.Logf("without %s: %s is not installed", l.Name, l.command[0])
		}
	}
	if len(found) == 0 {
		t.Skip("no MPI is installed (Debian: openmpi-bin, mpich)")
	}
	return found
}

// Command starts a program as n ranks.
func (l Launcher) Command(n int, program string, args ...string) *exec.Cmd {
	all := append(append([]string{}, l.command[1:]...), "-n", fmt.Sprint(n), program)
	return exec.Command(l.command[0], append(all, args...)...)
}
