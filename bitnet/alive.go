package bitnet

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"bitnet/data/atomicfile"
)

// Alive is logs/alive.json of a run: which process trains it. The file is there
// while the process trains, and after one that was killed.
type Alive struct {
	PID     int       `json:"pid"`
	Host    string    `json:"host"`
	Started time.Time `json:"started"` // of the training, not of the process
	// StartTicks is field 22 of the process's stat under /proc, which tells it
	// from a later process of the same number; 0 where there is no /proc.
	StartTicks uint64 `json:"start_ticks"`
}

func alivePath(run string) string { return filepath.Join(run, "logs", "alive.json") }

// markAlive says in the run's folder that this process trains it.
func markAlive(run string) error {
	host, _ := os.Hostname()
	text, err := json.Marshal(Alive{os.Getpid(), host, time.Now().UTC().Truncate(time.Second), startTicks(os.Getpid())})
	if err == nil {
		err = atomicfile.Write(alivePath(run), append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("marking the run as alive: %w", err)
	}
	return nil
}

func unmarkAlive(run string) { os.Remove(alivePath(run)) }

// trainedBy is the number of another process on this machine that trains the
// run, or 0. A process whose start cannot be compared is taken for gone.
func trainedBy(run string) int {
	var a Alive
	text, err := os.ReadFile(alivePath(run))
	if err != nil || json.Unmarshal(text, &a) != nil {
		return 0
	}
	host, _ := os.Hostname()
	if a.Host == host && a.PID != os.Getpid() && a.StartTicks > 0 && a.StartTicks == startTicks(a.PID) {
		return a.PID
	}
	return 0
}

// startTicks is when a process started, in clock ticks since the machine did;
// 0 if that cannot be told.
func startTicks(pid int) uint64 {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The second field is the program's name in parentheses and may hold both
	// spaces and parentheses; the third field comes behind the last one.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 {
		return 0
	}
	ticks, _ := strconv.ParseUint(string(fields[19]), 10, 64)
	return ticks
}
