package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"bitnet/bitnet/runs"
	"bitnet/bitnet/task"
	"bitnet/bitnet/train"
	"bitnet/gpu"
)

// jsonReporter writes one JSON object per line: "event" says what it is, the rest
// is as in the logs of a run.
type jsonReporter struct {
	mu       sync.Mutex
	out      io.Writer
	began    time.Time
	prepared time.Time // the last report of the preparation
}

func newJSONReporter(out io.Writer) *jsonReporter { return &jsonReporter{out: out, began: time.Now()} }

// write adds the event to the object that v is in JSON.
func (j *jsonReporter) write(event string, v any) {
	text, err := json.Marshal(v)
	if err != nil {
		text, _ = json.Marshal(map[string]any{"error": err.Error()})
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	fmt.Fprintf(j.out, "{\"event\":%q,%s\n", event, text[1:])
}

func (j *jsonReporter) prepare(c *train.Config, a gpu.Adapter) {
	j.write("prepare", map[string]any{"experiment": c.Name, "device": a.Name, "backend": a.Backend})
}

func (j *jsonReporter) start(t *train.Trainer) {
	c := t.Config.Train
	j.write("start", map[string]any{"run": t.Run.Dir, "step": t.Step(), "steps": c.Steps, "tokens_per_step": c.BatchSize * c.SeqLen * c.GradAccum})
}

func (j *jsonReporter) events() train.Events {
	note := func(s string) { j.write("note", map[string]any{"message": s}) }
	return train.Events{
		Note: note,
		Prepare: func(now task.Preparation) {
			if time.Since(j.prepared) < prepareEvery {
				return
			}
			j.prepared = time.Now()
			if s := preparationLine(now); s != "" {
				note(s)
			}
		},
		Metrics: func(m runs.Metrics) { j.write("metrics", m) },
		Eval:    func(r runs.Eval) { j.write("eval", r) },
		Samples: func(all []runs.Sample) {
			for _, s := range all {
				j.write("sample", s)
			}
		},
		Checkpoint: func(step int64, dir string) { j.write("checkpoint", map[string]any{"step": step, "dir": dir}) },
		Anomaly:    func(a runs.Anomaly) { j.write("anomaly", a) },
	}
}

func (j *jsonReporter) end(t *train.Trainer, err error) error {
	end := map[string]any{"status": "done", "seconds": time.Since(j.began).Seconds(), "next": nextCommands(t, err)}
	if t != nil {
		end["run"], end["step"] = t.Run.Dir, t.Step()
	}
	switch {
	case errors.Is(err, context.Canceled):
		end["status"] = "stopped"
	case err != nil:
		end["status"], end["error"] = "failed", err.Error()
	}
	j.write("end", end)
	return err
}
