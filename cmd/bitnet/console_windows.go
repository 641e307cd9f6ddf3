package main

import (
	"os"

	"golang.org/x/sys/windows"
)

// prepareConsole lets the console understand the sequences that colour text and move the cursor,
// which a Windows console does only when it is asked to. A stream that is no console stays as it is.
func prepareConsole() {
	for _, f := range []*os.File{os.Stdout, os.Stderr} {
		h := windows.Handle(f.Fd())
		var mode uint32
		if windows.GetConsoleMode(h, &mode) == nil {
			_ = windows.SetConsoleMode(h, mode|windows.ENABLE_VIRTUAL_TERMINAL_PROCESSING)
		}
	}
}
