package runs

import (
	"math"
	"slices"
	"time"
)

// paceIntervals is how many intervals a Pace looks back on.
const paceIntervals = 20

// Pace tells how fast a run goes and how long the rest of it takes. It gets the
// number of finished steps from time to time. What happens before the first
// call does not count, so that compiling the kernels and the first step, which
// is slow, do not. The median over the last intervals keeps a pause for an
// evaluation or a checkpoint from counting as well.
type Pace struct {
	// Least is the shortest interval that counts: steps that are handed to a
	// device one by one say nothing. A shorter one is joined with the next.
	Least time.Duration

	step  int64
	at    time.Time
	began bool
	each  []float64 // seconds per step of the last intervals, the newest last
}

// Observe says that so many steps were finished at a time. After a step back,
// as a rollback makes, counting starts again.
func (p *Pace) Observe(step int64, at time.Time) {
	switch {
	case !p.began || step < p.step:
		p.began = true
	case step == p.step || at.Sub(p.at) < p.Least:
		return
	default:
		if len(p.each) == paceIntervals {
			p.each = slices.Delete(p.each, 0, 1)
		}
		p.each = append(p.each, at.Sub(p.at).Seconds()/float64(step-p.step))
	}
	p.step, p.at = step, at
}

// Step is the time that a step takes: the median of the last intervals, or 0 if
// that is not known yet.
func (p *Pace) Step() time.Duration { return seconds(median(p.each)) }

// Left is the time that so many more steps take, or 0 if that is not known yet.
func (p *Pace) Left(steps int64) time.Duration {
	return seconds(float64(max(steps, 0)) * median(p.each))
}

func seconds(s float64) time.Duration {
	return time.Duration(min(s*float64(time.Second), math.MaxInt64/2))
}

// median is the middle value, the mean of the two middle ones, or 0 for none.
func median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return 0
	}
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// lastLines is what the last lines of metrics say together.
type lastLines struct {
	last    Metrics
	logged  bool
	medians Metrics               // of the metrics that status shows as a median
	ternary map[string][3]float64 // the newest shares of these lines
	pace    Pace
}

// readLastLines reads the last paceIntervals+1 lines of metrics.
func readLastLines(path string) (r lastLines, err error) {
	var lines []Metrics
	err = backward(path, func(line []byte) bool {
		if m, ok := parseMetrics(line); ok {
			lines = append(lines, m)
		}
		return len(lines) <= paceIntervals
	})
	if len(lines) == 0 {
		return r, err
	}
	r.last, r.logged = lines[0], true
	for _, m := range lines {
		if r.ternary = m.Ternary; r.ternary != nil {
			break
		}
	}
	for _, k := range Keys() {
		var values []float64
		for _, m := range lines[:min(len(lines), paceIntervals)] {
			if v := m.Get(k); table[k].Status.Median && v > 0 && finite(v) {
				values = append(values, v)
			}
		}
		if len(values) > 0 {
			r.medians.Set(k, median(values))
		}
	}
	// A line gives the mean time of the steps since the line before, so that
	// the first of a run holds the time of compiling: the pace begins after it.
	at := time.Unix(0, 0)
	for i, m := range slices.Backward(lines) {
		if i+1 < len(lines) {
			ms := m.Get(StepTimeMS)
			if !(ms > 0) || !finite(ms) || m.Step <= lines[i+1].Step {
				continue
			}
			at = at.Add(seconds(float64(m.Step-lines[i+1].Step) * ms / 1000))
		}
		r.pace.Observe(m.Step, at)
	}
	return r, err
}
