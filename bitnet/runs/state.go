package runs

import (
	"fmt"
	"os"
	"time"

	"bitnet/data/printable"
)

// Condition says whether a run is being trained, and how it ended otherwise.
type Condition string

const (
	Running  Condition = "running"
	Finished Condition = "finished" // all its steps are done
	Stopped  Condition = "stopped"  // it ended before the last step, and said so
	Crashed  Condition = "crashed"  // its process is gone without a word
	Diverged Condition = "diverged" // it went wrong, and was ended for that
	Unknown  Condition = "unknown"  // no way to tell from here
)

// silence is how long a log may stand still before a run counts as quiet.
func silence(i *Info) time.Duration {
	interval := time.Duration(float64(max(i.Config.Output.LogInterval, 1)) * i.Last.Get(StepTimeMS) * float64(time.Millisecond))
	return max(time.Minute, min(3*interval, 24*time.Hour))
}

// state judges a run by alive.json, its last metrics and its checkpoints.
func (r *Run) state(i *Info) (Condition, string) {
	a := r.alive()
	quiet := time.Since(i.Changed)
	life := a.life(time.Now())
	host, _ := os.Hostname()
	switch {
	case life == lives && a.Host == host:
		return Running, fmt.Sprintf("process %d", a.PID)
	case life == lives:
		return Running, fmt.Sprintf("process %d on %s, last sign of life %s ago", a.PID, printable.String(a.Host), ago(time.Since(a.Heartbeat)))
	case life == elsewhere && a.Heartbeat.IsZero() && quiet < silence(i):
		return Unknown, fmt.Sprintf("runs on %s: its log changed %s ago", printable.String(a.Host), ago(quiet))
	case life == elsewhere:
		return Unknown, fmt.Sprintf("ran on %s: its log has not changed for %s", printable.String(a.Host), ago(quiet))
	}
	done := i.Config.Train.Steps > 0 && i.Step >= i.Config.Train.Steps && i.CheckpointStep == i.Step
	end := r.ended(i.Step)
	switch {
	case done:
		return Finished, fmt.Sprintf("%d steps", i.Step)
	case i.Logged && (!finite(i.Last.Get(Loss)) || !finite(i.Last.Get(LossMean))):
		return Diverged, fmt.Sprintf("the loss of step %d is not finite", i.Last.Step)
	case end != nil:
		return Diverged, fmt.Sprintf("step %d: %s", end.Step, printable.String(end.Message))
	case life == gone:
		return Crashed, fmt.Sprintf("process %d is gone", a.PID)
	case i.CheckpointStep == i.Step && i.Step > 0 && r.exhausted(i.Config.Train.EarlyStopping):
		return Stopped, fmt.Sprintf("early at step %d: the validation loss no longer improved (early_stopping %d)", i.Step, i.Config.Train.EarlyStopping)
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
	_ = backward(r.Log(anomaliesLog), func(line []byte) bool {
		if a, ok := parseAnomaly(line); ok {
			last = &a
		}
		return last == nil
	})
	if last == nil || last.Action != Stop || last.Step < step {
		return nil
	}
	return last
}

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
