// Package runs reads what training writes into a run directory: config.yaml,
// provenance.json, logs/*.jsonl and checkpoints/. It only reads, needs no
// device, and works while a run goes on, after a crash, and on half-written
// files.
package runs

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
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

	State State
	Why   string // one line on how the state is known
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
		return nil, fmt.Errorf("there is no run %s, here or in %s: bitnet status list --runs-dir %s shows those there are", Printable(name), root, root)
	}
	return nil, fmt.Errorf("%d runs in %s begin with %s, for example %s and %s: write more of the name",
		len(match), root, Printable(name), Printable(match[0].Name), Printable(match[1].Name))
}

// Log is the path of a log: metrics, samples, eval or anomalies.
func (r *Run) Log(name string) string { return filepath.Join(r.Dir, "logs", name+".jsonl") }

// changed is when a log, or else the directory, changed last.
func (r *Run) changed() time.Time {
	var last time.Time
	for _, path := range []string{r.Log("metrics"), r.Log("eval"), r.Log("samples"), r.Log("anomalies")} {
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
	var p struct {
		Started                 time.Time
		Device, Driver, Backend string
		Parameters              int64
		Command                 []string
	}
	if text, err := readSmall(filepath.Join(r.Dir, "provenance.json")); err == nil && json.Unmarshal(text, &p) == nil {
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
	i.Last, i.Logged = LastMetrics(r.Log("metrics"))
	if i.Logged && i.Last.Step >= i.Step {
		i.Step, i.TokensSeen = i.Last.Step, i.Last.TokensSeen
	}
	i.State, i.Why = r.state(&i)
	return i
}

var checkpointName = regexp.MustCompile(`^step_(\d{8,18})$`)

// Checkpoints are the checkpoint directories that hold state.json, the newest
// first. Their files are not verified.
func (r *Run) Checkpoints() []string {
	entries, err := os.ReadDir(filepath.Join(r.Dir, "checkpoints"))
	if err != nil {
		return nil
	}
	var list []string
	for _, e := range entries {
		dir := filepath.Join(r.Dir, "checkpoints", e.Name())
		if CheckpointStep(e.Name()) < 0 {
			continue
		}
		if _, err := os.Stat(filepath.Join(dir, "state.json")); err == nil {
			list = append(list, dir)
		}
	}
	slices.SortFunc(list, func(a, b string) int { return int(CheckpointStep(b) - CheckpointStep(a)) })
	return list
}

// CheckpointStep is the step of a checkpoint, by the name of its directory; -1
// if that is not a checkpoint's.
func CheckpointStep(checkpoint string) int64 {
	m := checkpointName.FindStringSubmatch(filepath.Base(checkpoint))
	if m == nil {
		return -1
	}
	n, _ := strconv.ParseInt(m[1], 10, 64)
	return n
}

// readSmall reads a file that has no business being larger than 1 MiB.
func readSmall(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > 1<<20 {
		return nil, fmt.Errorf("%s is not a small file", path)
	}
	return os.ReadFile(path)
}
