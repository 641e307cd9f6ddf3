package bitnet

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"bitnet/gpu"
	"bitnet/graph"
)

// Values of train.tuning; any other is a file that bitnet tune has made.
const (
	TuneAuto   = "auto"   // take what is stored, and on a GPU measure what is not
	TuneStored = "stored" // take what is stored
	TuneOff    = "off"    // take the default kernels
)

// When a run begins, what is not stored is measured for this long, if the run
// has so much arithmetic that it can pay: minutes on a fast GPU.
const (
	tuneAtStart = 25 * time.Second
	tuneFrom    = 1e16
)

// TuneOptions are those of graph.
type TuneOptions = graph.TuneOptions

// TuneReport is what Tune has measured, or found stored, for a configuration.
type TuneReport struct {
	Path     string `json:"path"`
	Measured int    `json:"measured"` // products; the others were stored before
	TuningFile
}

// Tune measures the products of a run and stores what it finds at path, or
// where runs look for it if that is "". What is stored there already is not
// measured again but with force. If ctx ends, what was measured is stored.
func Tune(ctx context.Context, c *Config, dev *gpu.Device, path string, force bool, o TuneOptions) (*TuneReport, error) {
	a := dev.Adapter()
	_, plan, err := Prepare(c, a)
	if err != nil {
		return nil, err
	}
	if path == "" {
		if path, err = TuningPath(a); err != nil {
			return nil, err
		}
	} else if t, err := ReadTuning(path); err == nil && t.fits(a) != nil {
		return nil, fmt.Errorf("%s is kept: %w: choose another file", path, t.fits(a))
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if o.Note == nil {
		o.Note = func(string) {}
	}
	stored := storedTuning(path, a, o.Note)
	o.Known = maps.Clone(stored.Products)
	maps.DeleteFunc(o.Known, func(_ string, c graph.Choice) bool { return force || c.Cut })
	found, err := plan.Tune(ctx, dev, o)
	maps.Copy(stored.Products, found)
	if len(found) > 0 {
		if e := stored.write(path); err == nil {
			err = e
		}
	}
	report := &TuneReport{Path: path, Measured: len(found), TuningFile: *stored}
	report.Products = stored.Products.Of(plan)
	return report, err
}

// storedTuning reads what is stored for an adapter; it is empty, and note says
// why, if that cannot be used.
func storedTuning(path string, a gpu.Adapter, note func(string)) *TuningFile {
	t, err := ReadTuning(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		note(err.Error())
	case t.fits(a) != nil:
		note(fmt.Sprintf("%s is not used: %v", path, t.fits(a)))
	case !t.fresh():
		note(fmt.Sprintf("%s is not used: the kernels have changed since; bitnet tune measures again", path))
	default:
		return t
	}
	return NewTuning(a)
}

// prepareTuned is Prepare with the variants that train.tuning says, or with
// those that a run was begun with if that is not nil.
func prepareTuned(ctx context.Context, c *Config, dev *gpu.Device, own *TuningFile, note func(string)) (*Model, *graph.Plan, error) {
	m, plan, err := Prepare(c, dev.Adapter())
	if err != nil {
		return nil, nil, err
	}
	if own == nil {
		if own, err = chooseTuning(ctx, c, dev, plan, note); err != nil {
			return nil, nil, err
		}
	}
	if used := own.Products.Of(plan); len(used) > 0 {
		return prepare(c, dev.Adapter(), used)
	}
	return m, plan, nil
}

// chooseTuning does as train.tuning says.
func chooseTuning(ctx context.Context, c *Config, dev *gpu.Device, plan *graph.Plan, note func(string)) (*TuningFile, error) {
	a := dev.Adapter()
	switch c.Train.Tuning {
	case TuneOff:
		return NewTuning(a), nil
	case TuneAuto, TuneStored:
	default:
		t, err := ReadTuning(c.Train.Tuning)
		if err != nil {
			return nil, err
		}
		if err := t.fits(a); err != nil {
			return nil, fmt.Errorf("--tuning %s: %w: make one here with bitnet tune, or use --tuning auto", c.Train.Tuning, err)
		}
		if !t.fresh() {
			note(fmt.Sprintf("%s was made with other kernels: what it chose is used where it is still there", c.Train.Tuning))
		}
		return t, nil
	}
	path, err := TuningPath(a)
	if err != nil {
		note(err.Error())
		return NewTuning(a), nil
	}
	t := storedTuning(path, a, note)
	if !c.measures(plan, a) {
		return t, nil
	}
	return t, t.complete(ctx, dev, plan, path, note)
}

// measures says whether a run on an adapter measures what is not stored. On a
// CPU compiling takes too long, and in a short run measuring does.
func (c *Config) measures(p *graph.Plan, a gpu.Adapter) bool {
	t := c.Train
	flops := p.FlopsPerToken() * float64(t.BatchSize) * float64(t.SeqLen) * float64(t.GradAccum) * float64(t.Steps)
	return t.Tuning == TuneAuto && a.Kind != gpu.CPU && flops >= tuneFrom
}

// complete measures what a plan needs and is not there, in short, and stores it.
// It fails only where the run cannot go on.
func (t *TuningFile) complete(ctx context.Context, dev *gpu.Device, plan *graph.Plan, path string, note func(string)) error {
	missing := len(plan.Products()) - len(t.Products.Of(plan))
	if missing == 0 {
		return nil
	}
	note(fmt.Sprintf("measuring the variants of matrix products, %d of them, for at most %.0f s (bitnet tune does it ahead, --tuning off leaves it out)", missing, tuneAtStart.Seconds()))
	found, err := plan.Tune(ctx, dev, graph.TuneOptions{Known: t.Products, Budget: tuneAtStart, Note: note})
	maps.Copy(t.Products, found)
	if len(found) > 0 {
		if err := t.write(path); err != nil {
			note(err.Error())
		}
	}
	if ctx.Err() != nil || errors.Is(err, gpu.ErrDeviceLost) {
		return err
	}
	if err != nil {
		note(fmt.Sprintf("%v: going on with what was measured before", err))
	}
	return nil
}

// tuningName is the file of a run's directory with the tuning that it uses, if
// it uses one.
const tuningName = "tuning.json"

// runTuning is what the run of a checkpoint was begun with, so that it goes on
// bit for bit. It is nil if there is to be chosen anew: where train.tuning was
// changed, or on another adapter.
func runTuning(checkpoint string, c *Config, a gpu.Adapter, note func(string)) *TuningFile {
	if before, err := LoadConfig(filepath.Join(checkpoint, "config.yaml")); err == nil && before.Train.Tuning != c.Train.Tuning {
		return nil
	}
	path := filepath.Join(filepath.Dir(filepath.Dir(checkpoint)), tuningName)
	t, err := ReadTuning(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return NewTuning(a)
	case err != nil:
		note(err.Error())
		return nil
	case t.fits(a) != nil:
		note(fmt.Sprintf("the kernels of the run are chosen anew: %v", t.fits(a)))
		return nil
	case !t.fresh():
		note("the kernels have changed since the run began: it may go on with another rounding")
	}
	return t
}

// writeTuning keeps the tuning of the run in its directory.
func (t *Trainer) writeTuning() error {
	path := filepath.Join(t.Dir, tuningName)
	file := NewTuning(t.dev.Adapter())
	if file.Products = t.model.Params.Tuning; len(file.Products) > 0 {
		return file.write(path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the tuning that is not used any more: %w", err)
	}
	return nil
}
