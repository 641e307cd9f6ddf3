package runs

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"bitnet/data/printable"
)

// bestSuffix after a run's name names its best checkpoint.
const bestSuffix = "@best"

// Best is what a run's evaluations say about its lowest validation loss. There is no other record of it: logs and checkpoints
// of a run always agree.
type Best struct {
	Lowest *Eval // the first of the lowest loss; nil where none was finite
	Since  int   // evaluations after it, or all of them without one
	Kept   *Eval // the first of the lowest loss among those whose checkpoint is there; nil for none
}

// Best reads the run's evaluations. The files of the checkpoint are not
// verified.
func (r *Run) Best() (Best, error) {
	var b Best
	later := 0 // evaluations
	kept := r.hasCheckpoint()
	err := backward(r.Log(evalLog), func(line []byte) bool {
		e, ok := parseEval(line)
		if !ok {
			return true
		}
		if finite(float64(e.Loss)) {
			if b.Lowest == nil || e.Loss <= b.Lowest.Loss {
				b.Lowest, b.Since = &e, later
			}
			if kept(e.Step) && (b.Kept == nil || e.Loss <= b.Kept.Loss) {
				b.Kept = &e
			}
		}
		later++
		return true
	})
	if err != nil {
		return Best{}, fmt.Errorf("reading the evaluations: %w", err)
	}
	if b.Lowest == nil {
		b.Since = later
	}
	return b, nil
}

// exhausted reports whether the last n evaluations brought no lower validation
// loss; n is 0 for a run that does not stop early.
func (r *Run) exhausted(n int) bool {
	if n <= 0 {
		return false
	}
	b, err := r.Best()
	return err == nil && b.Since >= n
}

// hasCheckpoint says of a step whether its checkpoint is there. It lists them once.
func (r *Run) hasCheckpoint() func(step int64) bool {
	there := map[int64]bool{}
	for _, dir := range r.Checkpoints() {
		if _, err := os.Stat(filepath.Join(dir, stateName)); err == nil {
			there[CheckpointStep(dir)] = true
		}
	}
	return func(step int64) bool { return there[step] }
}

// evaluated lists the evaluations whose checkpoint is there, the lowest loss
// first, and of equal ones the earliest.
func (r *Run) evaluated() ([]Eval, error) {
	var list []Eval
	kept := r.hasCheckpoint()
	err := backward(r.Log(evalLog), func(line []byte) bool {
		if e, ok := parseEval(line); ok && kept(e.Step) && finite(float64(e.Loss)) {
			list = append(list, e)
		}
		return true
	})
	slices.SortFunc(list, func(a, b Eval) int { return cmp.Or(cmp.Compare(a.Loss, b.Loss), cmp.Compare(a.Step, b.Step)) })
	return list, err
}

// FindBest resolves RUN@best, where RUN is a run's folder or its name under
// root as in Find, to the whole checkpoint of the lowest validation loss among
// those that the run has kept. ok is false where the name is not of this form,
// or no run has the name. skipped is called for every damaged checkpoint that is
// passed over.
func FindBest(root, name string, skipped func(string), need ...string) (dir string, ok bool, err error) {
	of, ok := strings.CutSuffix(name, bestSuffix)
	if !ok {
		return "", false, nil
	}
	r, err := Find(root, of)
	switch {
	case errors.Is(err, ErrAmbiguous):
		return "", true, err
	case err != nil:
		return "", false, nil // what it names, if anything, is no run
	}
	evals, err := r.evaluated()
	if err != nil {
		return "", true, fmt.Errorf("reading the evaluations: %w", err)
	}
	for _, e := range evals {
		dir := r.CheckpointDir(e.Step)
		if _, err := ReadState(dir, need...); err == nil {
			return dir, true, nil
		} else {
			skipped(fmt.Sprintf("skipping %v", err))
		}
	}
	return "", true, fmt.Errorf("run %s has no checkpoint of a step that was evaluated: train with --set keep_best=true, or name the run without %s", printable.String(r.Name), bestSuffix)
}
