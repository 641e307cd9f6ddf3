package gpu

import (
	"bytes"
	"os"
	"strconv"
)

// systemMemory is the size of this machine's memory in bytes, or 0 if unknown. It
// limits the sum of the buffers of a CPU adapter: the adapter itself has no limit,
// and the system kills the process once it uses too much.
func systemMemory() int64 {
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	fields := bytes.Fields(info) // "MemTotal:", "16314112", "kB", ...
	if len(fields) < 3 || string(fields[0]) != "MemTotal:" {
		return 0
	}
	kib, err := strconv.ParseInt(string(fields[1]), 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}
