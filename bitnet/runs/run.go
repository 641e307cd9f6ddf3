// Package runs defines what a run directory holds: config.yaml, provenance.json,
// logs/*.jsonl and checkpoints/. It has the records, their writer, which the
// trainer uses, and their readers. Reading needs no device, and works while a
// run is being trained, after a crash, and on half-written files.
package runs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"bitnet/data/plainfile"
	"bitnet/data/printable"
)

// Run is a run directory.
type Run struct {
	Name string // the directory's name; may hold anything: print it with Printable
	Dir  string
}

// Info is what a run says about itself apart from its curves.
type Info struct {
	Name, Dir  string
	Config     Config
	Started    time.Time // zero if unknown
	Device     string    // adapter's name, "" if unknown
	Driver     string
	Backend    string
	Parameters int64
	Command    []string // what started it

	Last           Metrics   // the last readable line of metrics
	Logged         bool      // there is one
	Step           int64     // finished steps: the newest of logs and checkpoints
	TokensSeen     int64     // at that step
	Changed        time.Time // of the newest log
	Checkpoint     string    // newest checkpoint directory, "" for none
	CheckpointStep int64     // its step, -1 for none

	Swarm *Swarm // the machines that train it together, as far as this one knows; nil for a run that trains alone

	State Condition
	Why   string // one line on how the state is known

	Medians Metrics               // over the last lines, of the metrics that have one (StatusLine.Median)
	Ternary map[string][3]float64 // the newest shares of the last lines, as in Metrics
	Left    time.Duration         // of training alone; 0 if unknown or done
}

// Open opens a run directory: a folder that holds config.yaml or logs/.
func Open(dir string) (*Run, error) {
	info, err := os.Stat(dir)
	if err != nil || !info.IsDir() {
		return nil, fmt.Errorf("there is no run %s: bitnet status list shows those there are", dir)
	}
	if !isRun(dir) {
		return nil, fmt.Errorf("%s is not a run: it has neither config.yaml nor logs", dir)
	}
	full, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	return &Run{filepath.Base(full), filepath.Clean(dir)}, nil
}

func isRun(dir string) bool {
	for _, name := range []string{"config.yaml", "logs"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	return false
}

// all lists the runs under root, the last changed first.
func all(root string) ([]*Run, error) {
	entries, err := os.ReadDir(root)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("listing the runs: %w", err)
	}
	var list []*Run
	changed := map[*Run]time.Time{}
	for _, e := range entries {
		dir := filepath.Join(root, e.Name())
		if strings.HasPrefix(e.Name(), ".") || !isRun(dir) {
			continue
		}
		r := &Run{e.Name(), dir}
		list, changed[r] = append(list, r), r.changed()
	}
	slices.SortStableFunc(list, func(a, b *Run) int { return changed[b].Compare(changed[a]) })
	return list, nil
}

// List describes the runs under root, the last changed first. A root that is
// not there has none.
func List(root string) ([]Info, error) {
	list, err := all(root)
	if err != nil {
		return nil, err
	}
	infos := make([]Info, len(list))
	for i, r := range list {
		infos[i] = r.Info()
	}
	return infos, nil
}

// Newest opens the run under root that changed last.
func Newest(root string) (*Run, error) {
	list, err := all(root)
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("there is no run in %s yet: start one with bitnet train --exp simple, or name another folder with --runs-dir", root)
	}
	if err != nil {
		return nil, err
	}
	return list[0], nil
}

// Find opens a run by its directory, its name under root, or the beginning of
// its name if no other run begins so.
func Find(root, name string) (*Run, error) {
	if isRun(name) {
		return Open(name)
	}
	list, err := all(root)
	if err != nil {
		return nil, err
	}
	var match []*Run
	for _, r := range list {
		if r.Name == name {
			return r, nil
		}
		if name != "" && strings.HasPrefix(r.Name, name) {
			match = append(match, r)
		}
	}
	switch len(match) {
	case 1:
		return match[0], nil
	case 0:
		return nil, fmt.Errorf("there is no run %s, here or in %s: bitnet status list --runs-dir %s shows those there are", printable.String(name), root, root)
	}
	return nil, fmt.Errorf("%w: %d runs in %s begin with %s, for example %s and %s: write more of the name",
		ErrAmbiguous, len(match), root, printable.String(name), printable.String(match[0].Name), printable.String(match[1].Name))
}

// ErrAmbiguous says that the beginning of a name fits several runs.
var ErrAmbiguous = errors.New("the name is ambiguous")

// Log is the path of a log: metrics, samples, eval or anomalies.
func (r *Run) Log(name string) string { return filepath.Join(r.Dir, "logs", name+".jsonl") }

// changed is when a log, or else the directory, changed last.
func (r *Run) changed() time.Time {
	var last time.Time
	for _, path := range []string{r.Log(metricsLog), r.Log(evalLog), r.Log(samplesLog), r.Log(anomaliesLog)} {
		if s, err := os.Stat(path); err == nil && s.ModTime().After(last) {
			last = s.ModTime()
		}
	}
	if last.IsZero() {
		if s, err := os.Stat(r.Dir); err == nil {
			last = s.ModTime()
		}
	}
	return last
}

// Info reads the small files of a run and the end of its metrics. What is
// missing or damaged is left zero.
func (r *Run) Info() Info {
	i := Info{Name: r.Name, Dir: r.Dir, Config: readConfig(filepath.Join(r.Dir, "config.yaml")), Changed: r.changed()}
	if p, err := r.Provenance(); err == nil {
		i.Started, i.Device, i.Driver, i.Backend = p.Started, p.Device, p.Driver, p.Backend
		i.Parameters, i.Command = p.Parameters, p.Command
	}
	i.CheckpointStep = -1
	if list := r.Checkpoints(); len(list) > 0 {
		i.Checkpoint, i.CheckpointStep = list[0], CheckpointStep(list[0])
		i.Step = i.CheckpointStep
		var s struct {
			TokensSeen int64 `json:"tokens_seen"`
		}
		if text, err := readSmall(filepath.Join(list[0], "state.json")); err == nil && json.Unmarshal(text, &s) == nil {
			i.TokensSeen = s.TokensSeen
		}
	}
	last, _ := readLastLines(r.Log(metricsLog)) // a log that cannot be read is one without lines
	i.Last, i.Logged, i.Medians, i.Ternary = last.last, last.logged, last.medians, last.ternary
	if i.Logged && i.Last.Step >= i.Step {
		i.Step, i.TokensSeen = i.Last.Step, int64(i.Last.Get(TokensSeen))
	}
	i.Swarm, _ = r.Swarm() // a file that cannot be read is one that is not there
	i.Left = last.pace.Left(i.Config.Train.Steps - i.Step)
	i.State, i.Why = r.state(&i)
	return i
}

// readSmall reads a file that has no business being larger than 1 MiB.
func readSmall(path string) ([]byte, error) {
	text, err := plainfile.Read(path, 1<<20)
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", path, err)
	}
	return text, nil
}

// openFile opens a file of a run for reading.
func openFile(path string) (*os.File, error) {
	f, err := plainfile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	return f, nil
}
