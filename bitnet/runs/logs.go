package runs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"bitnet/data/atomicfile"
)

// Names of the logs, for Run.Log.
const (
	metricsLog   = "metrics"
	evalLog      = "eval"
	samplesLog   = "samples"
	anomaliesLog = "anomalies"
)

// Sink is a second place for what is logged, such as TensorBoard's events.
type Sink interface {
	Metrics(m *Metrics) error
	Eval(e *Eval) error
	Sample(s *Sample) error
	Rewind(step int64) error // takes back what was written of later steps
	Close() error
}

// Logs appends to the logs of a run. Each record is one line in one write.
type Logs struct {
	run   *Run
	files map[string]*os.File // by the log's name
	also  []Sink
}

// OpenLogs opens the logs at a step. Lines of later steps, which a run left
// that was killed after its last checkpoint, and a half-written last line go;
// whole lines are kept in logs/aside_STEP. The caller holds the run's lock. The
// sinks, which were opened at the same step, get the same records and are
// closed with the logs.
func (r *Run) OpenLogs(step int64, also ...Sink) (*Logs, error) {
	l := &Logs{run: r, files: map[string]*os.File{}, also: also}
	err := l.open(step)
	if err != nil {
		err = errors.Join(err, l.Close())
		return nil, fmt.Errorf("opening the logs: %w", err)
	}
	return l, nil
}

func (l *Logs) open(step int64) error {
	names := []string{metricsLog, evalLog, samplesLog, anomaliesLog}
	for _, name := range names {
		path := l.run.Log(name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o644)
		if err != nil {
			return err
		}
		l.files[name] = f
	}
	return l.cut(step, names...)
}

// Rewind takes back the lines of steps after a step, as a rollback needs it.
// Anomalies stay: they are why the run is rolled back.
func (l *Logs) Rewind(step int64) error {
	err := l.cut(step, metricsLog, evalLog, samplesLog)
	for _, s := range l.also {
		if err == nil {
			err = s.Rewind(step)
		}
	}
	if err != nil {
		return fmt.Errorf("rewinding the logs: %w", err)
	}
	return nil
}

// cut ends logs behind their last line of at most a step. All logs are looked
// at, and what they lose is stored, before the first of them is cut.
func (l *Logs) cut(step int64, names ...string) error {
	type piece struct {
		f         *os.File
		name      string
		keep, end int64 // bytes to keep; where the last whole line ends
	}
	var pieces []piece
	lines := false
	for _, name := range names {
		f := l.files[name]
		info, err := f.Stat()
		if err != nil {
			return err
		}
		keep, end, err := lastUpTo(f, info.Size(), step)
		if err != nil {
			return err
		}
		if keep < info.Size() {
			pieces = append(pieces, piece{f, name, keep, end})
			lines = lines || keep < end
		}
	}
	if lines {
		dir, err := freeName(filepath.Join(l.run.Dir, "logs", fmt.Sprintf("%s%d", aside, step)))
		if err == nil {
			err = os.Mkdir(dir, 0o755)
		}
		for _, p := range pieces {
			if err == nil && p.keep < p.end {
				err = copyPart(p.f, p.keep, p.end, filepath.Join(dir, p.name+".jsonl"))
			}
		}
		if err == nil {
			err = atomicfile.SyncDir(dir)
		}
		if err != nil {
			return fmt.Errorf("setting aside the lines after step %d: %w", step, err)
		}
	}
	for _, p := range pieces {
		if err := truncate(l.run.Log(p.name), p.keep); err != nil {
			return err
		}
	}
	return nil
}

// truncate opens the file once more: Windows cuts no file that is open for
// appending alone.
func truncate(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	err = f.Truncate(size)
	if err == nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func copyPart(f io.ReaderAt, from, to int64, path string) error {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.NewSectionReader(f, from, to-from))
	if err == nil {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

// lastLine is where the last line of a text begins that ends with a break.
func lastLine(text []byte) int { return bytes.LastIndexByte(text[:len(text)-1], '\n') + 1 }

// lastUpTo finds the last line whose step is at most the one given: where it
// ends, or 0 if there is none, and where the last whole line of the file ends.
// It reads from the end, so that it takes no longer for a long log.
func lastUpTo(f io.ReaderAt, size, step int64) (keep, end int64, err error) {
	if end, err = lastBreak(f, size); err != nil {
		return 0, 0, err
	}
	var v values
	buf := make([]byte, min(end, 1<<20))
	for at := end; at > 0; {
		n := min(at, int64(len(buf)))
		if _, err := f.ReadAt(buf[:n], at-n); err != nil && !errors.Is(err, io.EOF) {
			return 0, 0, err
		}
		text := buf[:n]
		for len(text) > 0 {
			begin := lastLine(text)
			if begin == 0 && at > n {
				break // the line begins before the block
			}
			if scan(text[begin:len(text)-1], &v) && v.num[stepKey] <= float64(step) {
				return at - n + int64(len(text)), end, nil
			}
			text = text[:begin]
		}
		switch {
		case int64(len(text)) < n:
			at -= n - int64(len(text))
		case n < maxLine:
			buf = make([]byte, min(at, 2*int64(len(buf))))
		default: // too long for a line of a log: readers skip it
			if at, err = lastBreak(f, at-1); err != nil {
				return 0, 0, err
			}
		}
	}
	return 0, end, nil
}

// Metrics appends to logs/metrics.jsonl.
func (l *Logs) Metrics(m Metrics) error {
	return l.add(metricsLog, m, func(s Sink) error { return s.Metrics(&m) })
}

// Eval appends to logs/eval.jsonl. A score that is not finite, such as a share
// of no problems, is left out.
func (l *Logs) Eval(e Eval) error {
	e.Scores = slices.DeleteFunc(slices.Clone(e.Scores), func(s Score) bool { return !finite(s.Value) })
	return l.add(evalLog, e, func(s Sink) error { return s.Eval(&e) })
}

// Sample appends to logs/samples.jsonl.
func (l *Logs) Sample(x Sample) error {
	return l.add(samplesLog, x, func(s Sink) error { return s.Sample(&x) })
}

// Anomaly appends to logs/anomalies.jsonl.
func (l *Logs) Anomaly(a Anomaly) error {
	return l.add(anomaliesLog, a, func(Sink) error { return nil })
}

func (l *Logs) add(name string, v any, also func(Sink) error) error {
	text, err := json.Marshal(v)
	if err == nil {
		_, err = l.files[name].Write(append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("writing logs/%s.jsonl: %w", name, err)
	}
	for _, s := range l.also {
		if err := also(s); err != nil {
			return err
		}
	}
	return nil
}

// Evaluated reports whether logs/eval.jsonl ends with the evaluation of a step.
func (l *Logs) Evaluated(step int64) bool { return l.last(evalLog) == step }

// Sampled reports whether logs/samples.jsonl ends with the samples of a step.
func (l *Logs) Sampled(step int64) bool { return l.last(samplesLog) == step }

// Logged is the step of the last line of logs/metrics.jsonl, 0 without one.
func (l *Logs) Logged() int64 { return max(l.last(metricsLog), 0) }

// last is the step of the last readable line of a log, -1 without one.
func (l *Logs) last(name string) int64 {
	var v values
	step := int64(-1)
	// A log that cannot be read has no lines.
	_ = backward(l.run.Log(name), func(line []byte) bool {
		if scan(line, &v) {
			step = whole(v.num[stepKey])
		}
		return step < 0
	})
	return step
}

// Sync makes what was logged survive a loss of power. The trainer calls it before
// each checkpoint, so that no line of a step before it can be missing.
func (l *Logs) Sync() error {
	for name, f := range l.files {
		if err := f.Sync(); err != nil {
			return fmt.Errorf("writing logs/%s.jsonl: %w", name, err)
		}
	}
	return nil
}

// Close closes the logs and the sinks.
func (l *Logs) Close() error {
	var errs []error
	for _, f := range l.files {
		errs = append(errs, f.Close())
	}
	for _, s := range l.also {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}
