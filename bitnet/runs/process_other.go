//go:build !unix && !js

package runs

import "os"

// processExists: on Windows a process that is not there cannot be opened.
func processExists(pid int) bool {
	p, err := os.FindProcess(pid)
	if err != nil {
		return false
	}
	p.Release()
	return true
}
