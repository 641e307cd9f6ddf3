package sweep

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/gofrs/flock"

	"bitnet/bitnet/runs"
	"bitnet/data/atomicfile"
	"bitnet/data/plainfile"
)

var trialID = regexp.MustCompile(`^[0-9]{3,7}$`)

// outcome is how a trial ended before its last round did: trials/ID.json.
type outcome struct {
	Stopped string `json:"stopped,omitempty"` // why it counts as bad, "" if it does not
	Early   bool   `json:"early,omitempty"`   // train.early_stopping ended it
}

const maxOutcome = 1 << 16

// record is what the files say about a trial.
type record struct {
	outcome
	evals   []runs.Eval
	started bool
}

// read looks at a trial's files.
func (s *Sweep) read(t Trial) (record, error) {
	var r record
	text, err := plainfile.Read(s.outcomePath(t), maxOutcome)
	if err == nil {
		err = json.Unmarshal(text, &r.outcome)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("reading how trial %s ended: %w", t.ID, err)
	}
	run, err := runs.Open(s.runDir(t))
	if err != nil {
		return r, nil // not begun, or killed before its run was whole: it begins again
	}
	r.started = true
	r.evals, err = run.Evals()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return r, fmt.Errorf("reading the evaluations of trial %s: %w", t.ID, err)
	}
	return r, nil
}

// at is the evaluation that counts at the end of a round, nil if there is none yet:
// the one at that step, or the last one of a trial that stopped before.
func (r *record) at(step int) *runs.Eval {
	for i := range r.evals {
		if r.evals[i].Step == int64(step) {
			return &r.evals[i]
		}
	}
	if n := len(r.evals); r.Early && n > 0 {
		return &r.evals[n-1]
	}
	return nil
}

// value is the score of an evaluation that ranks trials.
func (p *Plan) value(e *runs.Eval) (v float64, better runs.Better, err error) {
	var names []string
	for _, score := range e.All() {
		if score.Part != "" {
			continue
		}
		if score.Name == p.By {
			if score.Better == "" {
				return 0, "", fmt.Errorf("--by %s: neither a higher nor a lower value is better", p.By)
			}
			return score.Value, score.Better, nil
		}
		if !slices.Contains(names, score.Name) {
			names = append(names, score.Name)
		}
	}
	return math.NaN(), "", fmt.Errorf("--by %s: evaluations have no such score; they have: %s", p.By, strings.Join(names, ", "))
}

func (s *Sweep) runDir(t Trial) string      { return filepath.Join(s.Dir, trialsDir, t.ID) }
func (s *Sweep) outcomePath(t Trial) string { return s.runDir(t) + ".json" }

// ended writes down how a trial ended.
func (s *Sweep) ended(t Trial, o outcome) error {
	text, err := json.Marshal(o)
	if err != nil {
		return err
	}
	if err := atomicfile.Write(s.outcomePath(t), append(text, '\n')); err != nil {
		return fmt.Errorf("writing how trial %s ended: %w", t.ID, err)
	}
	return nil
}

// claim makes this process the only one that trains a trial, until it calls
// release or ends. taken says that another process holds it.
func (s *Sweep) claim(t Trial) (release func(), taken bool, err error) {
	path := filepath.Join(s.Dir, trialsDir, "."+t.ID+".lock")
	lock := flock.New(path)
	locked, err := lock.TryLock()
	if err != nil {
		return nil, false, fmt.Errorf("claiming trial %s: %w", t.ID, err)
	}
	if !locked {
		return nil, true, nil
	}
	return func() { _ = lock.Close() }, false, nil
}

// discard removes a run that a killed process left without a checkpoint.
func (s *Sweep) discard(t Trial) error {
	if err := os.RemoveAll(s.runDir(t)); err != nil {
		return fmt.Errorf("clearing trial %s, which has no checkpoint: %w", t.ID, err)
	}
	return nil
}
