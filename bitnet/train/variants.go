package train

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"bitnet/bitnet/runs"
	"bitnet/gpu"
	"bitnet/graph"
	"bitnet/graph/tune"
)

// Values of train.tuning; any other is a file that bitnet tune has made.
const (
	TuneAuto   = "auto"   // take what is stored, and on a GPU measure what is not
	TuneStored = "stored" // take what is stored
	TuneOff    = "off"    // take the default kernels
)

// When a run begins, what is not stored is measured for this long, if the run
// has so much arithmetic that measuring pays off: minutes on a fast GPU.
const (
	tuneAtStart = 25 * time.Second
	tuneFrom    = 1e16
)

// TuneReport is what Tune has measured, or found stored, for a configuration.
type TuneReport struct {
	Path     string `json:"path"`
	Measured int    `json:"measured"` // products; the others were stored before
	tune.File
}

// Tune measures the products of a run and stores the results at path, or where
// runs look for them if that is "". With force it also measures what is stored
// there already. If ctx ends, what was measured is stored.
func Tune(ctx context.Context, c *Config, dev *gpu.Device, path string, force bool, o tune.Options) (*TuneReport, error) {
	a := dev.Adapter()
	_, plan, err := Plan(c, a)
	if err != nil {
		return nil, err
	}
	if path == "" {
		if path, err = tune.Path(a); err != nil {
			return nil, err
		}
	} else if t, err := tune.ReadFile(path); err == nil && t.Fits(a) != nil {
		return nil, fmt.Errorf("%s is kept: %w: choose a different file", path, t.Fits(a))
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if o.Note == nil {
		o.Note = func(string) {}
	}
	stored := storedTuning(path, a, o.Note)
	o.Known = maps.Clone(stored.Products)
	maps.DeleteFunc(o.Known, func(_ string, c tune.Choice) bool { return force || c.Cut })
	found, err := tune.Measure(ctx, dev, plan.Products(), o)
	maps.Copy(stored.Products, found)
	if len(found) > 0 {
		if e := stored.Write(path); err == nil {
			err = e
		}
	}
	report := &TuneReport{Path: path, Measured: len(found), File: *stored}
	report.Products = stored.Products.Of(plan)
	return report, err
}

// storedTuning reads what is stored for an adapter; it is empty, and note says
// why, if that cannot be used.
func storedTuning(path string, a gpu.Adapter, note func(string)) *tune.File {
	t, err := tune.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		note(err.Error())
	case t.Fits(a) != nil:
		note(fmt.Sprintf("%s is not used: %v", path, t.Fits(a)))
	case !t.Fresh():
		note(fmt.Sprintf("%s is not used: the kernels have changed since; bitnet tune measures again", path))
	default:
		return t
	}
	return tune.NewFile(a)
}

// chooseVariants gives the variants of kernels that a run uses: those it was
// begun with where it is resumed, and else what train.tuning says, for all plans of its
// steps.
func chooseVariants(ctx context.Context, j *Job, dev *gpu.Device, plans []*graph.Plan) (*tune.File, error) {
	if j.run != nil {
		if t := runTuning(j.run, j.from, &j.config, dev.Adapter(), j.events.note); t != nil {
			return t, nil
		}
	}
	chosen, err := ChooseTuning(ctx, &j.config, dev, plans[0], j.events.note)
	for _, p := range plans[1:] {
		if err != nil {
			break
		}
		var more *tune.File
		if more, err = ChooseTuning(ctx, &j.config, dev, p, j.events.note); err == nil {
			maps.Copy(chosen.Products, more.Products)
		}
	}
	return chosen, err
}

// ChooseTuning does what train.tuning says: it reads the variants of kernels
// for a plan, or measures them.
func ChooseTuning(ctx context.Context, c *Config, dev *gpu.Device, plan *graph.Plan, note func(string)) (*tune.File, error) {
	a := dev.Adapter()
	switch c.Train.Tuning {
	case TuneOff:
		return tune.NewFile(a), nil
	case TuneAuto, TuneStored:
	default:
		t, err := tune.ReadFile(c.Train.Tuning)
		if err != nil {
			return nil, err
		}
		if err := t.Fits(a); err != nil {
			return nil, fmt.Errorf("--tuning %s: %w: make one here with bitnet tune, or use --tuning auto", c.Train.Tuning, err)
		}
		if !t.Fresh() {
			note(fmt.Sprintf("%s was made with other kernels: its choices are used where they still exist", c.Train.Tuning))
		}
		return t, nil
	}
	path, err := tune.Path(a)
	if err != nil {
		note(err.Error())
		return tune.NewFile(a), nil
	}
	t := storedTuning(path, a, note)
	if !c.measures(plan, a) {
		return t, nil
	}
	return t, complete(ctx, t, dev, plan, path, note)
}

// measures says whether a run on an adapter measures what is not stored. On a
// CPU compiling takes too long, and in a short run measuring does.
func (c *Config) measures(p *graph.Plan, a gpu.Adapter) bool {
	return c.Train.Tuning == TuneAuto && a.Kind != gpu.CPU && p.FlopsPerToken()*float64(c.Tokens()) >= tuneFrom
}

// complete measures for a short time what a plan needs and a tuning does not
// have, and stores it. It fails only where the run cannot continue.
func complete(ctx context.Context, t *tune.File, dev *gpu.Device, plan *graph.Plan, path string, note func(string)) error {
	missing := len(plan.Products()) - len(t.Products.Of(plan))
	if missing == 0 {
		return nil
	}
	note(fmt.Sprintf("measuring the variants of %d matrix products, for at most %.0f s (bitnet tune does it beforehand, --tuning off skips it)", missing, tuneAtStart.Seconds()))
	found, err := tune.Measure(ctx, dev, plan.Products(), tune.Options{Known: t.Products, Budget: tuneAtStart, Note: note})
	maps.Copy(t.Products, found)
	if len(found) > 0 {
		if err := t.Write(path); err != nil {
			note(err.Error())
		}
	}
	if ctx.Err() != nil || errors.Is(err, gpu.ErrDeviceLost) {
		return err
	}
	if err != nil {
		note(fmt.Sprintf("%v: continuing with what was measured before", err))
	}
	return nil
}

// runTuning is what the run of a checkpoint was begun with, so that it continues
// bit for bit. nil means: choose again, because train.tuning was changed or the
// adapter is a different one.
func runTuning(run *runs.Run, checkpoint string, c *Config, a gpu.Adapter, note func(string)) *tune.File {
	if before, err := LoadConfig(filepath.Join(checkpoint, configName)); err == nil && before.Train.Tuning != c.Train.Tuning {
		return nil
	}
	t, err := tune.ReadFile(run.TuningPath())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return tune.NewFile(a)
	case err != nil:
		note(err.Error())
		return nil
	case t.Fits(a) != nil:
		note(fmt.Sprintf("the kernels of the run are chosen again: %v", t.Fits(a)))
		return nil
	case !t.Fresh():
		note("the kernels have changed since the run began: results may be rounded differently from here on")
	}
	return t
}

// keepVariants keeps what plans use of a tuning in the run's directory.
func keepVariants(run *runs.Run, used *tune.File, plans []*graph.Plan) error {
	file := *used
	file.Products = tune.Tuning{}
	for _, p := range plans {
		maps.Copy(file.Products, used.Products.Of(p))
	}
	if len(file.Products) > 0 {
		return file.Write(run.TuningPath())
	}
	if err := os.Remove(run.TuningPath()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the tuning that is not used any more: %w", err)
	}
	return nil
}
