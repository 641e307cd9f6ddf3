// Package meter measures how fast a long job is and estimates when it will be
// done. The rate is that of the last seconds, so that it follows changes; work
// that was found done counts for the progress, not for the rate.
package meter

import (
	"sync"
	"time"
)

// Meter counts the units (bytes, tokens) of a job. All methods may be called
// from several goroutines.
type Meter struct {
	mu          sync.Mutex
	now         func() time.Time
	total, done int64
	fresh       int64 // done by this run: only that is evidence of speed
	marks       []mark
}

type mark struct {
	at    time.Time
	fresh int64
}

// window is how many marks, at least a second apart, the rate is computed over.
const window = 20

// New starts a meter of a job of total units; 0 if the total is not known.
func New(total int64) *Meter { return newAt(total, time.Now) }

func newAt(total int64, now func() time.Time) *Meter {
	return &Meter{now: now, total: total, marks: []mark{{now(), 0}}}
}

// Add counts n units of work; a negative n takes back work that must be redone.
func (m *Meter) Add(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += n
	m.fresh += max(n, 0)
	m.mark()
}

// Skip counts n units that were found done.
func (m *Meter) Skip(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done += n
}

// SetTotal corrects the size of the job.
func (m *Meter) SetTotal(total int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total = total
}

func (m *Meter) mark() {
	now := m.now()
	if now.Sub(m.marks[len(m.marks)-1].at) < time.Second {
		return
	}
	if len(m.marks) == window {
		m.marks = append(m.marks[:0], m.marks[1:]...)
	}
	m.marks = append(m.marks, mark{now, m.fresh})
}

// Reading is a Meter at one moment.
type Reading struct {
	Done, Total int64
	Rate        float64       // units a second, over the last seconds
	ETA         time.Duration // until Total at this rate; negative if unknown
}

// Read gives the state of the job.
func (m *Meter) Read() Reading {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := Reading{Done: m.done, Total: m.total, ETA: -1}
	first := m.marks[0]
	if d := m.now().Sub(first.at).Seconds(); d > 0 {
		r.Rate = float64(m.fresh-first.fresh) / d
	}
	if left := m.total - m.done; m.total > 0 && left <= 0 {
		r.ETA = 0
	} else if m.total > 0 && r.Rate > 0 {
		if s := float64(left) / r.Rate; s < 1e9 {
			r.ETA = time.Duration(s * float64(time.Second))
		}
	}
	return r
}
