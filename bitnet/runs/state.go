package runs

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"time"
)

// State says whether a run goes on.
type State string

const (
	Running  State = "running"
	Finished State = "finished" // all its steps are done
	Stopped  State = "stopped"  // it ended before the last step, and said so
	Crashed  State = "crashed"  // its process is gone without a word
	Diverged State = "diverged" // it went wrong, and was ended for that
	Unknown  State = "unknown"  // no way to tell from here
)

// Alive is logs/alive.json, which is there as long as a run's process is.
type Alive struct {
	PID     int       `json:"pid"`
	Host    string    `json:"host"`
	Started time.Time `json:"started"`
	// StartTicks is field 22 of /proc/PID/stat, which tells the process from a
	// later one with the same number; 0 if unknown.
	StartTicks uint64 `json:"start_ticks"`
	BootID     string `json:"boot_id,omitempty"` // of Linux: another one means that the machine was started anew
}

// silence is how long a log may stand still before a run counts as quiet.
func silence(i *Info) time.Duration {
	interval := time.Duration(float64(max(i.Config.Output.LogInterval, 1)) * i.Last.StepTimeMS * float64(time.Millisecond))
	return max(time.Minute, min(3*interval, 24*time.Hour))
}

// state judges a run by alive.json, its last metrics and its checkpoints.
func (r *Run) state(i *Info) (State, string) {
	var a Alive
	text, err := readSmall(filepath.Join(r.Dir, "logs", "alive.json"))
	there := err == nil && json.Unmarshal(text, &a) == nil && a.PID > 0
	quiet := time.Since(i.Changed)
	if there {
		host, _ := os.Hostname()
		if a.Host != "" && a.Host != host {
			if quiet < silence(i) {
				return Unknown, fmt.Sprintf("runs on %s: its log changed %s ago", Printable(a.Host), ago(quiet))
			}
			return Unknown, fmt.Sprintf("ran on %s: its log has not changed for %s", Printable(a.Host), ago(quiet))
		}
		if a.lives() {
			return Running, fmt.Sprintf("process %d", a.PID)
		}
	}
	done := i.Config.Train.Steps > 0 && i.Step >= i.Config.Train.Steps && i.CheckpointStep == i.Step
	end := r.ended(i.Step)
	switch {
	case done:
		return Finished, fmt.Sprintf("%d steps", i.Step)
	case i.Logged && (notFinite(i.Last.Loss) || notFinite(i.Last.LossMean)):
		return Diverged, fmt.Sprintf("the loss of step %d is not finite", i.Last.Step)
	case end != nil:
		return Diverged, fmt.Sprintf("step %d: %s", end.Step, Printable(end.Message))
	case there:
		return Crashed, fmt.Sprintf("process %d is gone", a.PID)
	case i.CheckpointStep == i.Step && i.Step > 0:
		return Stopped, fmt.Sprintf("at step %d", i.Step)
	case quiet < silence(i):
		return Unknown, fmt.Sprintf("it may be running: its log changed %s ago", ago(quiet))
	}
	return Stopped, fmt.Sprintf("its log has not changed for %s", ago(quiet))
}

// ended is the anomaly that ended a run at a step, or nil.
func (r *Run) ended(step int64) *Anomaly {
	var last *Anomaly
	_ = backward(r.Log("anomalies"), func(line []byte) bool {
		if a, ok := parseAnomaly(line); ok {
			last = &a
		}
		return last == nil
	})
	if last == nil || last.Action != "stop" || last.Step < step {
		return nil
	}
	return last
}

func notFinite(v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }

// ago is a duration in its largest unit, and the next for days and hours.
func ago(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dmin", int(d.Minutes()))
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dmin", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}
