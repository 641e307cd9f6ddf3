package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"

	"golang.org/x/sys/windows"
)

// prepareConsole starts this program again in a console of its own if there is none, as in a service
// or under Wine without a terminal: without one, no process can be sent Ctrl-Break.
func prepareConsole() {
	if console, err := os.OpenFile("CONOUT$", os.O_RDWR, 0); err == nil {
		console.Close()
		return
	}
	c := exec.Command(os.Args[0], os.Args[1:]...)
	c.Stdout, c.Stderr = os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_CONSOLE}
	_ = c.Run()
	os.Exit(c.ProcessState.ExitCode())
}

// ownGroup starts a command in a group of its own, which Ctrl-Break can be sent to.
func ownGroup(c *exec.Cmd) {
	c.SysProcAttr = &syscall.SysProcAttr{CreationFlags: windows.CREATE_NEW_PROCESS_GROUP}
}

// stop is Ctrl-C of a process that shares the console with others: Go makes the same of Ctrl-Break.
func stop(p *os.Process) error {
	if windows.NewLazySystemDLL("ntdll.dll").NewProc("wine_get_version").Find() == nil {
		return errWine // does not pass it on to a group; testdata/windows/test.sh sends Ctrl-C
	}
	return windows.GenerateConsoleCtrlEvent(windows.CTRL_BREAK_EVENT, uint32(p.Pid))
}

// colours runs a command that prints to the console: afterwards the console understands colours.
func colours(w *walk) error {
	console, err := os.OpenFile("CONOUT$", os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("opening the console: %w", err)
	}
	defer console.Close()
	h := windows.Handle(console.Fd())
	var before, after uint32
	if err := windows.GetConsoleMode(h, &before); err != nil {
		return fmt.Errorf("the mode of the console: %w", err)
	}
	if err := windows.SetConsoleMode(h, before&^windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING); err != nil {
		return fmt.Errorf("setting the mode of the console: %w", err)
	}
	c := exec.Command(w.program, "status", "whole")
	c.Dir, c.Stdout = w.dir, console
	if err := c.Run(); err != nil {
		return fmt.Errorf("bitnet status: %w", err)
	}
	if err := windows.GetConsoleMode(h, &after); err != nil {
		return err
	}
	if after&windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING == 0 {
		return fmt.Errorf("the console does not understand colours: its mode is %#x", after)
	}
	return nil
}
