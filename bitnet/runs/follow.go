package runs

import (
	"errors"
	"slices"
)

// keep is how many records of each kind but metrics a Reader holds.
const keep = 2000

// Reader follows all the logs of a run. It is for one goroutine at a time.
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
	line                               values
	long                               int64 // bytes from which on metrics are read in the background
	reading                            *background
}

// Change says what a Poll found.
type Change struct {
	Metrics, Evals, Samples, Anomalies int // new lines
	// Reset says that logs were read again from the beginning, as when a resumed
	// run cut them: what was shown of the run before is out of date.
	Reset bool
}

// Follow makes a reader whose curves have at most limit points. The first Poll
// reads what there is.
func (r *Run) Follow(limit int) *Reader {
	return &Reader{Run: r, Curves: NewCurves(limit), limit: limit, long: 32 << 20, metrics: newTail(r.Log(metricsLog)), evals: newTail(r.Log(evalLog)),
		samples: newTail(r.Log(samplesLog)), anomalies: newTail(r.Log(anomaliesLog))}
}

// Poll reads what was appended since the last call. It does not wait for a long
// log of metrics: while Reading, Curves are those of a few lines in every part.
func (r *Reader) Poll() (Change, error) {
	var c Change
	errs := []error{
		r.pollMetrics(&c),
		pollRecords(r, r.evals, &r.Evals, parseEval, &c.Evals, &c.Reset),
		pollRecords(r, r.samples, &r.Samples, parseSample, &c.Samples, &c.Reset),
		r.anomalies.poll(func() {
			r.Anomalies, r.AnomalyCount, c.Reset = nil, 0, true
		}, func(line []byte) {
			c.Anomalies++
			add(r, &r.Anomalies, parseAnomaly, line)
			r.AnomalyCount++
		}),
	}
	return c, errors.Join(errs...)
}

// Reading says whether a long log is being read, and how much of it has been.
func (r *Reader) Reading() (share float64, ok bool) {
	if r.reading == nil {
		return 0, false
	}
	return min(1, float64(r.reading.read.Load())/float64(r.reading.size)), true
}

func (r *Reader) pollMetrics(c *Change) error {
	if r.reading != nil {
		select {
		case log := <-r.reading.done:
			r.reading, r.Curves, c.Reset = nil, NewCurves(r.limit), true
			if log.err != nil {
				return log.err // the next Poll starts again
			}
			r.Curves, r.metrics.file, r.metrics.offset, r.metrics.before = log.curves, log.file, log.end, log.before
			c.Metrics = int(log.curves.Lines)
		default:
			return nil
		}
	}
	if size, unread := r.metrics.unread(); unread >= r.long {
		c.Reset = r.metrics.file != nil
		if last, err := readLastLines(r.metrics.path); err == nil {
			r.Last = last.last
		}
		r.reading = readInBackground(r.metrics.path, size, r.limit)
		var err error
		r.Curves, err = glance(r.metrics.path, size)
		return err
	}
	var last []byte
	err := r.metrics.poll(func() {
		r.Curves, r.Last, c.Reset, last = NewCurves(r.limit), Metrics{}, true, nil
	}, func(line []byte) {
		c.Metrics++
		if r.Curves.add(line, &r.line) {
			last = append(last[:0], line...)
		}
	})
	if m, ok := parseMetrics(last); ok {
		r.Last = m
	}
	return err
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

// Evals reads the evaluations of a run, at most the last 10,000.
func (r *Run) Evals() ([]Eval, error) {
	var list []Eval
	err := backward(r.Log(evalLog), func(line []byte) bool {
		if e, ok := parseEval(line); ok {
			list = append(list, e)
		}
		return len(list) < 10000
	})
	slices.Reverse(list)
	return list, err
}
