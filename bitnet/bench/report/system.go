package report

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// readSystem reads what the system says about itself; what it does not say stays empty.
func readSystem() System {
	s := System{OS: runtime.GOOS, Arch: runtime.GOARCH, Cores: runtime.NumCPU()}
	s.CPU = lineOf("/proc/cpuinfo", "model name")
	if kib, err := strconv.ParseInt(strings.TrimSuffix(lineOf("/proc/meminfo", "MemTotal"), " kB"), 10, 64); err == nil {
		s.Memory = kib << 10
	}
	if text, err := os.ReadFile("/proc/loadavg"); err == nil {
		first, _, _ := strings.Cut(string(text), " ")
		s.Load, _ = strconv.ParseFloat(first, 64)
	}
	s.Cards = nvidia()
	return s
}

// lineOf is the value after "name:" in a file of Linux.
func lineOf(path, name string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// nvidia asks NVIDIA's tool about its cards.
func nvidia() []string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "nvidia-smi", "--query-gpu=name,driver_version,memory.total,power.limit,clocks.max.sm,clocks.max.mem", "--format=csv,noheader").Output()
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}
