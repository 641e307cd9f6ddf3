//go:build unix

package report

import (
	"os/exec"
	"syscall"
)

// inGroup gives a process and its children (Dawn has one) a group of their own,
// which is killed as a whole, and which Ctrl-C in the terminal does not reach.
func inGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}
