package runs

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bitnet/data/atomicfile"
)

const (
	heartbeat = 10 * time.Second // between two updates of alive.json
	// silent is how old the last sign of life from another machine may be
	// before its process counts as gone.
	silent = time.Minute
)

// Alive is logs/alive.json, which exists as long as a process trains the run.
type Alive struct {
	PID     int       `json:"pid"`
	Host    string    `json:"host"`
	Started time.Time `json:"started"`
	// StartTicks is field 22 of /proc/PID/stat, which tells the process from a
	// later one with the same number; 0 if unknown.
	StartTicks uint64 `json:"start_ticks"`
	BootID     string `json:"boot_id,omitempty"`       // of Linux; it differs after a restart of the machine
	Namespace  string `json:"pid_namespace,omitempty"` // of Linux; process numbers of different containers mean nothing to each other
	// Heartbeat is when the process last updated this file, zero in files of
	// earlier versions, which did not.
	Heartbeat time.Time `json:"heartbeat,omitzero"`
}

// thisProcess describes the calling process.
func thisProcess() Alive {
	host, _ := os.Hostname()
	now := time.Now().UTC().Truncate(time.Second)
	return Alive{
		PID: os.Getpid(), Host: host, Started: now, StartTicks: startTicks(os.Getpid()),
		BootID: bootID(), Namespace: namespace(), Heartbeat: now,
	}
}

// life is what is known about the process that alive.json names.
type life int

const (
	noProcess life = iota // there is no alive.json
	gone                  // it has ended, or is a zombie
	lives                 // it is there
	elsewhere             // it is on another machine, and silent
)

// life says whether the process of alive.json is there. It is the one answer
// for bitnet status and for bitnet train --resume.
func (a *Alive) life(now time.Time) life {
	self := thisProcess()
	// The clocks of two machines may differ; far in the future is an error.
	age := now.Sub(a.Heartbeat)
	fresh := age < silent && age > -time.Hour
	same := func(theirs, mine string) bool { return theirs == "" || mine == "" || theirs == mine }
	switch {
	case a.PID <= 0:
		return noProcess
	case a.Host == self.Host && same(a.BootID, self.BootID) && same(a.Namespace, self.Namespace):
		if a.running() {
			return lives
		}
		return gone
	case fresh:
		return lives
	case a.Host == self.Host && same(a.Namespace, self.Namespace):
		return gone // the machine was restarted
	}
	return elsewhere
}

// running says whether the process, and not a later one with its number, runs
// on this machine.
func (a *Alive) running() bool {
	if !processExists(a.PID) {
		return false
	}
	state, ticks, ok := processStat(a.PID)
	if !ok {
		return true // a system without /proc
	}
	return state != 'Z' && state != 'X' && (a.StartTicks == 0 || a.StartTicks == ticks)
}

func bootID() string {
	text, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // only Linux has it
	return strings.TrimSpace(string(text))
}

func namespace() string {
	link, _ := os.Readlink("/proc/self/ns/pid") // only Linux has it
	return link
}

func (r *Run) alivePath() string { return filepath.Join(r.Dir, "logs", "alive.json") }

// alive reads alive.json; a file that is missing or damaged names no process.
func (r *Run) alive() Alive {
	var a Alive
	text, err := readSmall(r.alivePath())
	if err != nil || json.Unmarshal(text, &a) != nil {
		return Alive{}
	}
	return a
}

func (r *Run) writeAlive(a Alive) error {
	text, err := json.Marshal(a)
	if err == nil {
		err = atomicfile.Write(r.alivePath(), append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("marking the run as alive: %w", err)
	}
	return nil
}
