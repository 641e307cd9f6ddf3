package runs

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// lives says whether the process of alive.json, and not a later one with its
// number, is there on this machine.
func (a Alive) lives() bool {
	if a.BootID != "" {
		if now, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil && strings.TrimSpace(string(now)) != a.BootID {
			return false
		}
	}
	if !processExists(a.PID) {
		return false
	}
	state, ticks, ok := processStat(a.PID)
	if !ok {
		return true // a system without /proc
	}
	return state != 'Z' && state != 'X' && (a.StartTicks == 0 || a.StartTicks == ticks)
}

// StartTicks is when a process started, in clock ticks since the machine did;
// 0 if that cannot be told.
func StartTicks(pid int) uint64 {
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
