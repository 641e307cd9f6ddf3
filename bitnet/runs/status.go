package runs

import (
	"errors"
	"io/fs"
	"math"
	"slices"
)

// Status is a run at a glance.
type Status struct {
	Info
	Trend   *Trend   // nil with fewer than three lines
	Eval    *Eval    // the last, nil for none
	Best    *Eval    // the one of the lowest loss among the last 1,000
	Samples []Sample // those of the last sampled step
	// Anomalies are the last 5, and AnomalyCount how many there are by kind
	// among the last 10,000.
	Anomalies    []Anomaly
	AnomalyCount map[AnomalyKind]int
}

// Trend is how the loss went over the last tenth of the steps: the ends of the
// straight line that fits it best.
type Trend struct {
	FromStep, ToStep int64
	From, To         float64
	// Clear says that the change is more than twice its standard error.
	Clear bool
}

// Change is how much the loss rose.
func (t Trend) Change() float64 { return t.To - t.From }

// Status reads the small files and the ends of the logs: its time does not
// depend on how long they are.
func (r *Run) Status() (Status, error) {
	s := Status{Info: r.Info(), AnomalyCount: map[AnomalyKind]int{}}
	var errs []error
	var err error
	s.Trend, err = trend(r.Log(metricsLog), s.Last.Step)
	errs = append(errs, err)

	evals := 0
	errs = append(errs, backward(r.Log(evalLog), func(line []byte) bool {
		if e, ok := parseEval(line); ok {
			if s.Eval == nil {
				s.Eval, s.Best = &e, &e
			} else if e.Loss <= s.Best.Loss || !finite(float64(s.Best.Loss)) {
				s.Best = &e
			}
		}
		evals++
		return evals < 1000
	}))
	errs = append(errs, backward(r.Log(samplesLog), func(line []byte) bool {
		x, ok := parseSample(line)
		if ok && len(s.Samples) > 0 && x.Step != s.Samples[0].Step {
			return false
		}
		if ok {
			s.Samples = append(s.Samples, x)
		}
		return len(s.Samples) < 100
	}))
	slices.Reverse(s.Samples)
	seen := 0
	errs = append(errs, backward(r.Log(anomaliesLog), func(line []byte) bool {
		if a, ok := parseAnomaly(line); ok {
			if len(s.Anomalies) < 5 {
				s.Anomalies = append(s.Anomalies, a)
			}
			s.AnomalyCount[a.Kind]++
		}
		seen++
		return seen < 10000
	}))
	slices.Reverse(s.Anomalies)
	return s, errors.Join(errs...)
}

// trend fits a line to the loss over the last tenth of the steps, or over the
// last three lines if that is more. Of a long log it looks at 256 lines.
func trend(path string, last int64) (*Trend, error) {
	f, err := openFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	const probes = 256
	var x, y []float64
	take := func(line []byte) {
		var v values
		if !scan(line, &v) {
			return
		}
		loss := v.num[LossMean]
		if !v.has(LossMean) {
			loss = v.num[Loss]
		}
		if finite(loss) && (v.has(LossMean) || v.has(Loss)) {
			x, y = append(x, v.num[stepKey]), append(y, loss)
		}
	}
	size := info.Size()
	begin := seekStep(f, size, last-last/10)
	if size-begin > probes*64<<10 {
		for i := range int64(probes) {
			if at, _, ok := lineFrom(f, begin+(size-begin)/probes*i, size); ok {
				_, err := wholeLines(f, at, at+1, 0, make([]byte, 64<<10), func(_ int64, line []byte) { take(line) })
				if err != nil {
					return nil, err
				}
			}
		}
	} else if _, err := wholeLines(f, begin, size, 0, make([]byte, 1<<20), func(_ int64, line []byte) { take(line) }); err != nil {
		return nil, err
	}
	if len(x) < 3 {
		x, y = nil, nil
		err := backward(path, func(line []byte) bool {
			take(line)
			return len(x) < 3
		})
		if err != nil || len(x) < 3 {
			return nil, err
		}
		slices.Reverse(x)
		slices.Reverse(y)
	}
	return fit(x, y), nil
}

// fit is least squares: slope = sxy/sxx, and its standard error is
// sqrt(residual/(n-2)/sxx).
func fit(x, y []float64) *Trend {
	n := float64(len(x))
	var mx, my, sxx, sxy, syy float64
	for i := range x {
		mx += x[i] / n
		my += y[i] / n
	}
	for i := range x {
		sxx += (x[i] - mx) * (x[i] - mx)
		sxy += (x[i] - mx) * (y[i] - my)
		syy += (y[i] - my) * (y[i] - my)
	}
	if sxx == 0 {
		return nil
	}
	slope := sxy / sxx
	se := math.Sqrt(max(0, syy-slope*sxy) / max(1, n-2) / sxx)
	from, to := x[0], x[len(x)-1]
	return &Trend{int64(from), int64(to), my + slope*(from-mx), my + slope*(to-mx), math.Abs(slope) > 2*se}
}
