package runs

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// startTicks is when a process started, in clock ticks since the machine did;
// 0 if that is not known.
func startTicks(pid int) uint64 {
	_, ticks, ok := processStat(pid)
	if !ok {
		return 0
	}
	return ticks
}

// processStat reads fields 3 and 22 of /proc/PID/stat: state and start time.
func processStat(pid int) (state byte, ticks uint64, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, 0, false
	}
	// Field 2 is the name in parentheses, which may hold anything.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 20 {
		return 0, 0, false
	}
	ticks, err = strconv.ParseUint(fields[19], 10, 64)
	return fields[0][0], ticks, err == nil
}
