package runs

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"slices"
)

// keep is how many records of each kind but metrics a Reader holds.
const keep = 2000

// Reader follows all the logs of a run.
type Reader struct {
	Run    *Run
	Curves *Curves
	Last   Metrics // the last readable line of metrics
	// The newest 2,000 of each, in the order of the file.
	Evals     []Eval
	Samples   []Sample
	Anomalies []Anomaly
	// AnomalyCount is how many there are in all, and BadLines how many lines of
	// other logs than metrics could not be read.
	AnomalyCount, BadLines int64

	limit                              int
	metrics, evals, samples, anomalies *tail
	started                            bool
}

// Change says what a Poll found.
type Change struct {
	Metrics, Evals, Samples, Anomalies int // new lines
	// Reset says that logs were cut, as by a resumed run, and read anew: what
	// was shown of the run before is out of date.
	Reset bool
}

// Follow makes a reader whose curves have at most limit points. The first Poll
// reads what there is.
func (r *Run) Follow(limit int) *Reader {
	return &Reader{Run: r, Curves: NewCurves(limit), limit: limit, metrics: newTail(r.Log("metrics")), evals: newTail(r.Log("eval")),
		samples: newTail(r.Log("samples")), anomalies: newTail(r.Log("anomalies"))}
}

// Poll reads what was appended since the last call.
func (r *Reader) Poll() (Change, error) {
	var c Change
	var errs []error
	if !r.started {
		n, err := r.first()
		if err != nil {
			return c, err
		}
		c.Metrics, r.started = n, true
	}
	var last []byte
	errs = append(errs, r.metrics.poll(func() {
		r.Curves, r.Last, c.Reset, last = NewCurves(r.limit), Metrics{}, true, nil
	}, func(line []byte) {
		c.Metrics++
		before := r.Curves.Bad
		r.Curves.Add(line)
		if r.Curves.Bad == before {
			last = append(last[:0], line...)
		}
	}))
	if last != nil {
		if m, ok := parseMetrics(last); ok {
			r.Last = m
		}
	}
	errs = append(errs,
		pollRecords(r, r.evals, &r.Evals, parseEval, &c.Evals, &c.Reset),
		pollRecords(r, r.samples, &r.Samples, parseSample, &c.Samples, &c.Reset),
		r.anomalies.poll(func() {
			r.Anomalies, r.AnomalyCount, c.Reset = nil, 0, true
		}, func(line []byte) {
			c.Anomalies++
			add(r, &r.Anomalies, parseAnomaly, line)
			r.AnomalyCount++
		}))
	return c, errors.Join(errs...)
}

func pollRecords[T any](r *Reader, t *tail, list *[]T, parse func([]byte) (T, bool), count *int, reset *bool) error {
	return t.poll(func() {
		*list, *reset = nil, true
	}, func(line []byte) {
		*count++
		add(r, list, parse, line)
	})
}

func add[T any](r *Reader, list *[]T, parse func([]byte) (T, bool), line []byte) {
	v, ok := parse(line)
	if !ok {
		r.BadLines++
		return
	}
	if len(*list) >= 2*keep {
		*list = append((*list)[:0], (*list)[len(*list)-keep:]...)
	}
	*list = append(*list, v)
}

// first reads the metrics that there are on all processors, which a tail would
// do on one.
func (r *Reader) first() (int, error) {
	f, err := os.Open(r.metrics.path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	end, err := lastBreak(f, info.Size())
	if err != nil {
		return 0, err
	}
	if r.Curves, err = readPart(f, 0, end, r.limit); err != nil {
		return 0, err
	}
	r.metrics.file, r.metrics.offset = info, end
	r.Last, _ = LastMetrics(r.metrics.path)
	return int(r.Curves.Lines), nil
}

// lastBreak is the offset behind the last line break before size.
func lastBreak(f io.ReaderAt, size int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for size > 0 {
		n := min(size, int64(len(buf)))
		if _, err := f.ReadAt(buf[:n], size-n); err != nil && !errors.Is(err, io.EOF) {
			return 0, err
		}
		if i := bytes.LastIndexByte(buf[:n], '\n'); i >= 0 {
			return size - n + int64(i) + 1, nil
		}
		size -= n
	}
	return 0, nil
}

// Evals reads the evaluations of a run, at most the last 10,000.
func (r *Run) Evals() ([]Eval, error) {
	var list []Eval
	err := backward(r.Log("eval"), func(line []byte) bool {
		if e, ok := parseEval(line); ok {
			list = append(list, e)
		}
		return len(list) < 10000
	})
	slices.Reverse(list)
	return list, err
}
