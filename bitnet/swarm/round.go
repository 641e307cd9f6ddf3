package swarm

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"bitnet/bitnet/runs"
)

const (
	// mostNorm bounds the norm of a change in any case.
	mostNorm = 1e9
	// mostTimes bounds it against the median of others: what is further away
	// could only spoil the mean.
	mostTimes = 10
)

// close begins the end of a round: all others send what they have.
func (m *meeting) close() {
	if m.closing.IsZero() {
		m.closing = time.Now()
	}
}

// tick looks after the clock: who is gone, and whether the round is over.
func (m *meeting) tick() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failed != nil {
		return m.failed
	}
	if m.rec == nil {
		return nil
	}
	for _, w := range m.members {
		if time.Since(w.seen) > m.rules.Silence {
			m.leave(w, fmt.Sprintf("no sign of life for %v", m.rules.Silence))
		}
	}
	if m.closing.IsZero() || m.rec.finished() {
		m.sweep()
		return nil
	}
	if time.Since(m.closing) < m.rules.Patience {
		for _, w := range m.members {
			if w.began == m.rec.Round && !w.late && w.gone == "" && w.got == nil && w.refused == "" {
				return nil // it is still waited for
			}
		}
	}
	m.end()
	return m.failed
}

// sweep forgets the members that are gone, and gives their data to others.
func (m *meeting) sweep() {
	for id, w := range m.members {
		if w.gone != "" && w.got == nil {
			m.rec.Parts.free(w.parts)
			delete(m.members, id)
		}
	}
}

// end ends a round: it applies the mean of the changes, keeps the result, and
// begins the next.
func (m *meeting) end() {
	r := m.rec
	counted, left := m.judge()
	round := runs.SwarmRound{Round: r.Round, At: now(), Seconds: time.Since(m.began).Seconds(), Workers: len(counted), LeftOut: left}
	var shares []share
	most, loss := 0, 0.0
	for _, w := range counted {
		shares = append(shares, w.got.share)
		round.Steps += int64(w.got.steps)
		loss += w.got.loss * float64(w.got.steps)
		most = max(most, w.got.steps)
	}
	m.change = make([]byte, blocksLen(int(r.Parameters))) // nothing changes if nobody counts
	if len(shares) > 0 {
		rate, momentum := m.rules.outer(r.Total)
		var err error
		if m.change, round.Change, err = m.outer.step(shares, rate, momentum); err != nil {
			m.failed = fmt.Errorf("round %d: %w", r.Round, err)
			return
		}
		round.Loss = runs.Number(loss / float64(round.Steps))
		m.weights = hashFloats(m.outer.weights)
	}
	for _, w := range counted {
		w.Rounds, w.Steps, w.Last = w.Rounds+1, w.Steps+int64(w.got.steps), r.Round+1
		w.parts = used(w.parts, max(w.samples, 1), int64(w.got.steps))
		r.Norms = append(r.Norms, w.got.norm)
	}
	r.Norms = r.Norms[max(0, len(r.Norms)-keptNorms):]
	r.Step += int64(most)
	r.Tokens += round.Steps * r.StepTokens
	r.Round++
	round.Step = r.Step
	r.Rounds = append(r.Rounds, round)
	r.Rounds = r.Rounds[max(0, len(r.Rounds)-keptRounds):]
	for _, w := range m.members {
		w.upload, w.got, w.refused, w.now = nil, nil, "", 0
	}
	m.sweep()
	m.keepRound()
	m.closing, m.began = time.Time{}, time.Now()
	m.log(describe(&round, r))
}

// keepRound stores weights and record.
func (m *meeting) keepRound() {
	r, before := m.rec, m.rec.State.Name
	state, err := m.store.put(context.Background(), fmt.Sprintf("state-%s-%d", r.ID, r.Round), stateReader(m.outer, m.change))
	if err != nil {
		m.failed = err
		return
	}
	r.State = state
	if m.keep(); m.failed == nil {
		m.store.forget(context.Background(), r.Plan.Name, before, state.Name)
	}
}

// judge says whose changes count, in the order of their keys, and who is left out
// and why. Where all changes of a round are too far away, the next may be twice as far:
// the only worker of a swarm is not refused for ever.
func (m *meeting) judge() (counted []*member, left []string) {
	r := m.rec
	limit := min(m.normLimit()*math.Pow(2, float64(m.outliers)), mostNorm)
	far := false
	for _, id := range slices.Sorted(maps.Keys(m.members)) {
		w := m.members[id]
		why := ""
		switch {
		case w.got != nil && w.got.norm <= limit:
			counted = append(counted, w)
			continue
		case w.got != nil:
			far = true
			why = fmt.Sprintf("its change has a norm of %.3g, and at most %.3g counts", w.got.norm, limit)
		case w.refused != "":
			why = w.refused
		case w.began != r.Round || w.late:
			continue
		case w.gone != "":
			why = w.gone
		default:
			why = fmt.Sprintf("its change did not arrive within %v", m.rules.Patience)
		}
		w.LeftOut++
		w.Reason = fmt.Sprintf("round %d: %s", r.Round, why)
		if len(left) < 16 {
			left = append(left, w.Name+": "+why)
		}
	}
	switch {
	case len(counted) > 0:
		m.outliers = 0
	case far:
		m.outliers++
	}
	return counted, left
}

// normLimit is the largest norm of a change that counts: a multiple of the median
// of this round where three or more take part, and else of the last rounds.
func (m *meeting) normLimit() float64 {
	var norms []float64
	for _, w := range m.members {
		if w.got != nil {
			norms = append(norms, w.got.norm)
		}
	}
	if len(norms) < 3 {
		norms = slices.Clone(m.rec.Norms)
	}
	if len(norms) < 3 {
		return mostNorm
	}
	slices.Sort(norms)
	return mostTimes * norms[len(norms)/2]
}

// describe is the log's line of a round.
func describe(x *runs.SwarmRound, r *record) string {
	line := fmt.Sprintf("round %d: step %d of %d, %d workers, %d local steps, %.1f s", x.Round, r.Step, r.Total, x.Workers, x.Steps, x.Seconds)
	if x.Workers > 0 {
		line += fmt.Sprintf(", loss %.4f", float64(x.Loss))
	}
	if len(x.LeftOut) > 0 {
		line += "; left out " + strings.Join(x.LeftOut, "; ")
	}
	if r.finished() {
		line += "; all steps are done"
	}
	return line
}
