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

// Best is what a run's evaluations, at most the last 10,000, say about its
// lowest validation loss. There is no other record of it: logs and checkpoints
// of a run always agree.
type Best struct {
	Lowest *Eval // the first of the lowest loss; nil where none was finite
	Since  int   // evaluations after it, or all of them without one
	Kept   *Eval // the first of the lowest loss among those whose checkpoint is there; nil for none
}

// Best reads the run's evaluations. The files of the checkpoint are not
// verified.
func (r *Run) Best() (Best, error) {
	evals, err := r.Evals()
	if err != nil {
		return Best{}, fmt.Errorf("reading the evaluations: %w", err)
	}
	var b Best
	for i := range evals {
		e := &evals[i]
		b.Since++
		if finite(float64(e.Loss)) && (b.Lowest == nil || e.Loss < b.Lowest.Loss) {
			b.Lowest, b.Since = e, 0
		}
	}
	if list := r.evaluated(evals); len(list) > 0 {
		b.Kept = &list[0]
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

// evaluated lists the evaluations whose checkpoint is there, the lowest loss
// first.
func (r *Run) evaluated(evals []Eval) []Eval {
	list := slices.DeleteFunc(slices.Clone(evals), func(e Eval) bool {
		_, err := os.Stat(filepath.Join(r.CheckpointDir(e.Step), stateName))
		return err != nil || !finite(float64(e.Loss))
	})
	slices.SortStableFunc(list, func(a, b Eval) int { return cmp.Compare(a.Loss, b.Loss) })
	return list
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
	evals, err := r.Evals()
	if err != nil {
		return "", true, fmt.Errorf("reading the evaluations: %w", err)
	}
	for _, e := range r.evaluated(evals) {
		dir := r.CheckpointDir(e.Step)
		if _, err := ReadState(dir, need...); err == nil {
			return dir, true, nil
		} else {
			skipped(fmt.Sprintf("skipping %v", err))
		}
	}
	return "", true, fmt.Errorf("run %s has no checkpoint of a step that was evaluated: train with --set keep_best=true, or name the run without %s", printable.String(r.Name), bestSuffix)
}
