package bitnet

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"bitnet/bitnet/runs"
	"bitnet/data/atomicfile"
)

func alivePath(run string) string { return filepath.Join(run, "logs", "alive.json") }

// markAlive says in the run's folder that this process trains it.
func markAlive(run string) error {
	host, _ := os.Hostname()
	text, err := json.Marshal(runs.Alive{
		PID: os.Getpid(), Host: host, Started: time.Now().UTC().Truncate(time.Second), StartTicks: runs.StartTicks(os.Getpid()),
	})
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
	var a runs.Alive
	text, err := os.ReadFile(alivePath(run))
	if err != nil || json.Unmarshal(text, &a) != nil {
		return 0
	}
	host, _ := os.Hostname()
	if a.Host == host && a.PID != os.Getpid() && a.StartTicks > 0 && a.StartTicks == runs.StartTicks(a.PID) {
		return a.PID
	}
	return 0
}
