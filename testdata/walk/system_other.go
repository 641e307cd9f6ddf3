//go:build !windows

package main

import (
	"os"
	"os/exec"
)

func prepareConsole() {}

func ownGroup(*exec.Cmd) {}

// stop is Ctrl-C.
func stop(p *os.Process) error { return p.Signal(os.Interrupt) }

func colours(*walk) error { return errNotWindows }
