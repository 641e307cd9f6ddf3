package train

import (
	"bitnet/bitnet/runs"
	"bitnet/bitnet/task"
)

// Events are called when something happens in a run; each may be nil.
type Events struct {
	Note       func(string)           // also from another goroutine
	Prepare    func(task.Preparation) // several times a second, from another goroutine
	Begin      func(*Trainer)         // before the first step, again after a lost device
	Step       func(step int64)       // was handed to the device
	Metrics    func(runs.Metrics)
	Eval       func(runs.Eval)
	Samples    func([]runs.Sample)
	Checkpoint func(step int64, dir string)
	Anomaly    func(runs.Anomaly)
}

func (e Events) note(s string) {
	if e.Note != nil {
		e.Note(s)
	}
}
