package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"bitnet/bitnet/modelfile"
	"bitnet/bitnet/runs"
	"bitnet/bitnet/task/tictactoe"
	"bitnet/bitnet/train"
	"bitnet/data/printable"
	"bitnet/data/tokenizer"
)

// Kinds of what is kept.
const (
	kindRun   = "run"
	kindModel = "model"
	kindText  = "text"
)

// find gives the folder of what a name stands for.
func (w *worker) find(name string) (dir, kind string, err error) {
	if err := checkName(name); err != nil {
		return "", "", err
	}
	for _, f := range []struct{ folder, kind string }{{w.runs(), kindRun}, {w.models(), kindModel}, {w.texts(), kindText}} {
		dir := filepath.Join(f.folder, name)
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return dir, f.kind, nil
		}
	}
	return "", "", fmt.Errorf("there is no %q here: it was removed", printable.Short(name, 60))
}

const longestName = 100

// checkName refuses names that are no plain name of a folder.
func checkName(name string) error {
	if name == "" || len(name) > longestName || strings.HasPrefix(name, ".") || strings.ContainsAny(name, "/\\") || !utf8.ValidString(name) || printable.String(name) != name {
		return fmt.Errorf("%q cannot be a name here: use letters, digits, - and _, at most %d of them", printable.Short(name, 60), longestName)
	}
	return nil
}

// freeName makes a name that nothing has yet.
func (w *worker) freeName(wanted string) string {
	wanted = strings.Map(func(r rune) rune {
		if r == '/' || r == '\\' || r == ' ' || !unicode.IsPrint(r) {
			return '_'
		}
		return r
	}, strings.TrimLeft(wanted, "."))
	for len(wanted) > longestName-10 {
		_, n := utf8.DecodeLastRuneInString(wanted)
		wanted = wanted[:len(wanted)-n]
	}
	if checkName(wanted) != nil {
		wanted = "unnamed"
	}
	name := wanted
	for n := 2; ; n++ {
		if _, _, err := w.find(name); err != nil {
			return name
		}
		name = fmt.Sprintf("%s-%d", wanted, n)
	}
}

func listRuns(_ context.Context, c *call) (any, error) {
	list := []Run{}
	for _, folder := range []string{c.runs(), c.models(), c.texts()} {
		entries, err := os.ReadDir(folder)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		for _, e := range entries {
			if r, err := c.describe(e.Name()); err == nil {
				list = append(list, r)
			}
		}
	}
	return map[string]any{"runs": list}, nil
}

// describe says what is known of a run, a model or a text.
func (w *worker) describe(name string) (Run, error) {
	dir, kind, err := w.find(name)
	if err != nil {
		return Run{}, err
	}
	r := Run{Name: name, Kind: kind, Checkpoint: -1}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return nil // it was removed meanwhile
		}
		if info, err := d.Info(); err == nil {
			r.Bytes += info.Size()
			r.Changed = max(r.Changed, info.ModTime().UnixMilli())
		}
		return nil
	})
	if err != nil {
		return r, err
	}
	switch kind {
	case kindRun:
		return r, w.describeRun(&r, dir)
	case kindModel:
		describeModel(&r, dir)
	}
	return r, nil
}

func (w *worker) describeRun(r *Run, dir string) error {
	run, err := runs.Open(dir)
	if err != nil {
		return err
	}
	i := run.Info()
	r.Experiment, r.State, r.Why = i.Config.Name, i.State, i.Why
	r.Step, r.Steps, r.TokensSeen, r.Parameters, r.Checkpoint = i.Step, i.Config.Train.Steps, i.TokensSeen, i.Parameters, i.CheckpointStep
	if loss := i.Last.Get(runs.LossMean); i.Logged && !math.IsNaN(loss) && !math.IsInf(loss, 0) {
		r.Loss = &loss
	}
	r.Resumes = i.CheckpointStep >= 0 && r.Step < r.Steps && i.State != runs.Running
	r.Talks, r.Starts = i.CheckpointStep >= 0, i.CheckpointStep >= 0
	if i.Checkpoint != "" {
		tok, err := tokenizer.Load(i.Checkpoint)
		r.Plays = err == nil && tictactoe.Speaks(tok)
	}
	return nil
}

func describeModel(r *Run, dir string) {
	c, err := modelfile.ReadHFConfig(dir)
	if err != nil {
		r.Why = oneLine(err.Error())
		return
	}
	r.Parameters = parameters(c.Config)
	tok, err := tokenizer.Load(dir)
	r.Talks = err == nil
	r.Plays = r.Talks && tictactoe.Speaks(tok)
	r.Starts = !c.Packed()
}

// parameters counts those of a model.
func parameters(c modelfile.Config) (all int64) {
	for _, t := range c.Tensors() {
		n := int64(1)
		for _, d := range t.Shape {
			n *= int64(d)
		}
		all += n
	}
	return all
}

// checkpoint is the folder of a model's files: the newest checkpoint of a run.
func (w *worker) checkpoint(name string) (string, error) {
	dir, kind, err := w.find(name)
	switch {
	case err != nil:
		return "", err
	case kind == kindText:
		return "", fmt.Errorf("%s is a text, not a model: train one on it first", name)
	case kind == kindModel:
		return dir, nil
	}
	found, _, err := runs.FindCheckpoint(dir, func(string) {})
	if err != nil {
		return "", fmt.Errorf("%s has no checkpoint yet: train it for some more steps", name)
	}
	return found, nil
}

const mostPoints = 1000

func showRun(_ context.Context, c *call) (any, error) {
	dir, kind, err := c.find(c.Run)
	if err != nil {
		return nil, err
	}
	h := History{Series: map[string][]*float64{}, Low: map[string][]*float64{}, High: map[string][]*float64{}, Steps: []int64{}, Evals: []Eval{}, Samples: []runs.Sample{}, Problems: []runs.Anomaly{}}
	if h.Run, err = c.describe(c.Run); err != nil || kind != kindRun {
		return h, err
	}
	text, err := os.ReadFile(filepath.Join(dir, "config.yaml"))
	if err != nil {
		return nil, fmt.Errorf("the run %s has no configuration: %w", c.Run, err)
	}
	h.Config = string(text)
	run, err := runs.Open(dir)
	if err != nil {
		return nil, err
	}
	curves, err := runs.ReadCurves(run.Log("metrics"), 0, 0, mostPoints)
	if err != nil {
		return nil, err
	}
	for _, x := range curves.X(runs.BySteps) {
		h.Steps = append(h.Steps, int64(x))
	}
	for _, k := range runs.Keys() {
		s := curves.Series(k)
		h.Series[k.String()], h.Low[k.String()], h.High[k.String()] = numbers(s.Mean), numbers(s.Min), numbers(s.Max)
	}
	evals, err := run.Evals()
	if err != nil {
		return nil, err
	}
	for _, e := range evals {
		h.Evals = append(h.Evals, inWords(e))
	}
	status, err := run.Status()
	if err != nil {
		return nil, err
	}
	h.Samples = append(h.Samples, status.Samples...)
	h.Problems = append(h.Problems, status.Anomalies...)
	return h, nil
}

// numbers are values as JSON has them, null for NaN and infinity.
func numbers(values []float64) []*float64 {
	out := make([]*float64, len(values))
	for i := range values {
		if v := values[i]; !math.IsNaN(v) && !math.IsInf(v, 0) {
			out[i] = &v
		}
	}
	return out
}

// inWords is an evaluation as the page shows it.
func inWords(e runs.Eval) Eval {
	out := Eval{Step: e.Step, Scores: []Score{}}
	for _, s := range e.All() {
		out.Scores = append(out.Scores, Score{s.Name, s.Part, runs.Number(s.Value), s.Format(), s.String()})
	}
	return out
}

func removeRun(_ context.Context, c *call) (any, error) {
	dir, kind, err := c.find(c.Run)
	if err != nil {
		return nil, err
	}
	if kind == kindRun {
		run, err := runs.Open(dir)
		if err == nil && run.Info().State == runs.Running {
			return nil, fmt.Errorf("%s is being trained: stop it first", c.Run)
		}
	}
	if !c.use.mu.TryLock() {
		return nil, errors.New("a model is in use: stop the answer or the measurement first")
	}
	defer c.use.mu.Unlock()
	if o := c.use.model; o != nil && o.run == c.Run {
		o.release()
		c.use.model = nil
	}
	// Under another name it is gone at once, even if the removal is cut short.
	away := filepath.Join(c.scratch(), "removed-"+c.Run)
	if err := os.RemoveAll(away); err != nil {
		return nil, err
	}
	if err := os.Rename(dir, away); err != nil {
		return nil, fmt.Errorf("removing %s: %w", c.Run, err)
	}
	return nil, os.RemoveAll(away)
}

// configOf is the configuration of a run's newest checkpoint.
func (w *worker) configOf(name string) (*train.Config, string, error) {
	dir, kind, err := w.find(name)
	if err == nil && kind != kindRun {
		err = fmt.Errorf("%s is not a run: start a new one from it", name)
	}
	if err != nil {
		return nil, "", err
	}
	from, _, err := train.FindCheckpoint(dir, func(string) {})
	if err != nil {
		return nil, "", fmt.Errorf("%s cannot be resumed: %w", name, err)
	}
	c, err := train.LoadConfig(filepath.Join(from, "config.yaml"))
	return c, dir, err
}
