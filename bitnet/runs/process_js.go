package runs

import (
	"os"
	"syscall/js"
)

// processExists: Node.js can ask. In a browser one worker at a time holds the
// storage of a page, so that every other one is gone.
func processExists(pid int) (exists bool) {
	kill := js.Global().Get("process").Get("kill")
	if kill.Type() != js.TypeFunction {
		return pid == os.Getpid()
	}
	defer func() {
		if thrown, ok := recover().(js.Error); ok {
			exists = thrown.Get("code").String() == "EPERM"
		}
	}()
	kill.Invoke(pid, 0)
	return true
}
