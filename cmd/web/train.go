package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"time"

	"bitnet/bitnet"
	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/runs"
	"bitnet/bitnet/task"
	"bitnet/bitnet/train"
)

func trainModel(ctx context.Context, c *call) (any, error) {
	var t Train
	if err := c.decode(&t); err != nil {
		return nil, err
	}
	config, start, err := c.configure(t)
	if err != nil {
		return nil, err
	}
	if err := config.Check(); err != nil {
		return nil, err
	}
	watch := &watcher{call: c, began: time.Now()}
	dir, err := bitnet.Train(ctx, config, bitnet.TrainOptions{Start: start, Events: watch.events()})
	if err != nil && (dir == "" || !errors.Is(err, context.Canceled)) {
		return nil, err
	}
	if dir == "" {
		return nil, context.Canceled
	}
	run, e := c.describe(filepath.Base(dir))
	if e != nil {
		return nil, e
	}
	return Trained{Run: run.Name, State: run.State, Step: run.Step}, nil
}

// configure gives the configuration of a training and where it begins.
func (w *worker) configure(t Train) (*train.Config, train.Start, error) {
	start := train.Start{RunsDir: w.runs()}
	var c *train.Config
	var err error
	switch {
	case (t.Experiment == "") == (t.Resume == ""):
		return nil, start, errors.New("choose either an experiment or a run to resume")
	case t.Resume != "":
		if c, start.Resume, err = w.configOf(t.Resume); err != nil {
			return nil, start, err
		}
	default:
		if c, err = experiment(t.Experiment); err != nil {
			return nil, start, err
		}
		if t.Name != "" {
			if err := checkName(t.Name); err != nil {
				return nil, start, err
			}
			start.RunID = w.freeName(t.Name)
		} else {
			start.RunID = w.freeName(t.Experiment + time.Now().Format("-0102-1504"))
		}
	}
	if t.Init != "" {
		if start.Init, err = w.checkpoint(t.Init); err != nil {
			return nil, start, err
		}
		if c.Model, err = modelfile.ReadTrainable(start.Init); err != nil {
			return nil, start, err
		}
		c.Train.SeqLen = min(c.Train.SeqLen, c.Model.MaxPositions)
	}
	for _, key := range slices.Sorted(maps.Keys(t.Settings)) {
		if err := c.Set(key + "=" + t.Settings[key]); err != nil {
			return nil, start, fmt.Errorf("the setting %s: %w", key, err)
		}
	}
	if t.Resume == "" {
		if _, given := t.Settings["warmup_steps"]; !given {
			c.LimitWarmup()
		}
	}
	return c, start, w.useText(c, t)
}

// useText makes a text that was dropped the data of a training.
func (w *worker) useText(c *train.Config, t Train) error {
	if t.Text == "" {
		if c.Data.Source == "text:" {
			return errors.New("choose a text to train on: drop a file")
		}
		return nil
	}
	dir, kind, err := w.find(t.Text)
	if err == nil && kind != kindText {
		err = fmt.Errorf("%s is not a text", t.Text)
	}
	if err != nil {
		return err
	}
	c.Data.Source = "text:" + dir
	return nil
}

// watcher tells the page what happens in a training.
type watcher struct {
	*call
	trainer *train.Trainer
	began   time.Time // of this device's first step
	first   int64     // the step it began at
	told    time.Time // of the last progress
	shown   int       // pictures of weights so far
	before  map[string]*modelfile.TernaryMatrix
}

func (w *watcher) events() train.Events {
	return train.Events{
		Note:    w.note,
		Prepare: w.prepare,
		Begin:   w.begin,
		Step:    w.step,
		Metrics: w.metrics,
		Eval:    func(e runs.Eval) { w.event("eval", map[string]any{"eval": inWords(e)}) },
		Samples: func(s []runs.Sample) { w.event("samples", map[string]any{"samples": s}) },
		Anomaly: func(a runs.Anomaly) { w.event("anomaly", map[string]any{"anomaly": a}) },
		Checkpoint: func(step int64, _ string) {
			w.event("checkpoint", map[string]any{"step": step})
		},
	}
}

func (w *watcher) prepare(p task.Preparation) {
	w.event("preparing", Preparing{Sampled: p.Sampled, Sample: p.Sample, Tokens: p.Shards.IDs.Done})
}

func (w *watcher) begin(t *train.Trainer) {
	w.trainer, w.began, w.first = t, time.Now(), t.Step()
	w.before = map[string]*modelfile.TernaryMatrix{}
	i := t.Run.Info()
	w.event("begin", Begin{
		Run: t.Run.Name, Experiment: t.Config.Name, Step: t.Step(), Steps: int64(t.Config.Train.Steps),
		Parameters: i.Parameters, TokensPerStep: t.TokensPerStep(), Config: string(t.Config.YAML()),
	})
}

const progressEvery = 100 * time.Millisecond

func (w *watcher) step(step int64) {
	last := int64(w.trainer.Config.Train.Steps)
	now := time.Now()
	if now.Sub(w.told) < progressEvery && step != last {
		return
	}
	w.told = now
	p := Progress{Step: step, Steps: last}
	if took := now.Sub(w.began).Seconds(); took > 0 && step > w.first {
		each := took / float64(step-w.first)
		p.TokensPerSec, p.Seconds = float64(w.trainer.TokensPerStep())/each, each*float64(last-step)
	}
	w.event("progress", p)
}

func (w *watcher) metrics(m runs.Metrics) {
	w.event("metrics", map[string]any{"metrics": m})
	names := w.trainer.Projections()
	if len(names) == 0 {
		return
	}
	name := names[w.shown%len(names)]
	w.shown++
	got, err := w.trainer.Ternary(name)
	if err != nil {
		w.note(err.Error()) // the next step fails too, and ends the training
		return
	}
	p, codes := picture(got, w.before[name])
	w.before[name] = got
	p.Step, p.Name, p.Names = m.Step, name, names
	w.event("weights", p, attachment{field: "codes", data: [][]byte{codes}})
}

// mostPixels is the most rows and columns of a picture of weights.
const mostPixels = 256

// picture is a projection as codes 0 to 2, row by row, compared with what it was
// before, which may be nil.
func picture(m, before *modelfile.TernaryMatrix) (Weights, []byte) {
	p := Weights{Rows: min(m.Rows, mostPixels), Cols: min(m.Cols, mostPixels), AllRows: m.Rows, AllCols: m.Cols, Changed: -1}
	codes := make([]byte, 0, p.Rows*p.Cols)
	row, old := make([]int8, m.Cols), make([]int8, m.Cols)
	var count [3]int
	changed := 0
	for r := range m.Rows {
		m.Row(r, row)
		if before != nil {
			before.Row(r, old)
		}
		for c, v := range row {
			count[v+1]++
			if v != old[c] {
				changed++
			}
			if r < p.Rows && c < p.Cols {
				codes = append(codes, byte(v+1))
			}
		}
	}
	all := float64(m.Rows * m.Cols)
	for i, n := range count {
		p.Shares[i] = float64(n) / all
	}
	if before != nil {
		p.Changed = float64(changed) / all
	}
	return p, codes
}
