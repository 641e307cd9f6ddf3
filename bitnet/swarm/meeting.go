package swarm

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"bitnet/bitnet/runs"
	"bitnet/data/printable"
)

// Rules are what the owner of a meeting point decides.
type Rules struct {
	LocalSteps    int           // of the fastest worker in a round
	GrowSteps     int           // of the schedule, over which rounds grow from one local step to LocalSteps; 0: they do not
	Even          bool          // of every worker: the fastest waits for the others
	Patience      time.Duration // for the changes of all others, once the first has sent its own
	Silence       time.Duration // after which a worker counts as gone
	MostWorkers   int
	MostParameter int64   // of the model that the first worker brings
	OuterRate     float64 // of the outer optimizer; or Auto
	OuterMomentum float64 // or Auto
}

// DefaultRules are those of bitnet swarm serve.
func DefaultRules() Rules {
	return Rules{LocalSteps: 100, Patience: 2 * time.Minute, Silence: 15 * time.Second, MostWorkers: 64, MostParameter: 1_000_000_000, OuterRate: Auto, OuterMomentum: Auto}
}

// Check says what is wrong with the rules.
func (r Rules) Check() error {
	switch {
	case r.LocalSteps < 1 || r.LocalSteps > maxLocal:
		return fmt.Errorf("%d local steps: a round has 1 to %d", r.LocalSteps, maxLocal)
	case r.GrowSteps < 0:
		return fmt.Errorf("rounds cannot grow over %d steps: give 0 or more", r.GrowSteps)
	case r.Patience <= 0 || r.Silence <= 0:
		return fmt.Errorf("the patience %v and the silence %v must be positive", r.Patience, r.Silence)
	case !(r.OuterRate == Auto || r.OuterRate > 0 && r.OuterRate <= 2) || !(r.OuterMomentum == Auto || r.OuterMomentum >= 0 && r.OuterMomentum < 1):
		return fmt.Errorf("the outer rate %g must be above 0 and at most 2, and the outer momentum %g in [0, 1)", r.OuterRate, r.OuterMomentum)
	case r.MostWorkers < 1:
		return fmt.Errorf("%d workers: at least one must be allowed", r.MostWorkers)
	case r.MostParameter < 1 || r.MostParameter > maxParams:
		return fmt.Errorf("%d parameters: allow 1 to %d", r.MostParameter, int64(maxParams))
	}
	return nil
}

// meeting is the meeting point: it answers requests, ends rounds, and keeps the
// weights. One lock holds for all: its work is short apart from the end of a round.
type meeting struct {
	name  string
	rules Rules
	store *store
	log   func(string)

	mu      sync.Mutex
	rec     *record // nil before the swarm is founded
	plan    []byte
	outer   *outer
	weights string // hash of outer.weights
	change  []byte // what led from the round before to these weights; nil if unknown

	members  map[string]*member // by key
	outliers int                // rounds in a row in which all changes were too far away
	founder  string             // key of the worker that is asked for plan and weights
	asked    time.Time          // last sign of life of the founder
	began    time.Time          // of the round
	closing  time.Time          // when the first worker had done all local steps; zero before
	said     map[string]time.Time
	failed   error // the state could not be kept: the meeting point stops
}

// member is a worker that is there.
type member struct {
	*known
	key     string
	seen    time.Time
	began   int64 // the round that it trains; -1 for none
	late    bool  // it began when the round was already closing
	now     int   // local steps in the round
	speed   float64
	parts   []part
	samples int64 // of a step
	upload  *upload
	got     *contribution
	refused string // why its change of this round is not taken
	gone    string // why it is not waited for
}

// newMeeting opens a meeting point and continues with what the store holds.
func newMeeting(ctx context.Context, name string, rules Rules, st *store, log func(string)) (*meeting, error) {
	m := &meeting{name: name, rules: rules, store: st, log: log, members: map[string]*member{}, said: map[string]time.Time{}, began: time.Now()}
	rec, plan, state, err := st.load(ctx)
	if err != nil || rec == nil {
		return m, err
	}
	if m.outer, m.change, err = readState(state, int(rec.Parameters)); err != nil {
		return nil, err
	}
	m.rec, m.plan, m.weights = rec, plan, hashFloats(m.outer.weights)
	return m, nil
}

// handle answers a request.
func (m *meeting) handle(op operation, text []byte) []byte {
	key, q, body, err := open(m.name, op, text)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		m.complain(key, err.Error())
		return m.refuse(codeRefused, err.Error())
	}
	id := hex.EncodeToString(key)
	if op == opStatus {
		return (&answer{Status: m.status()}).encode(nil)
	}
	if k := m.known(id); k != nil {
		if q.Seq <= k.Seq {
			m.complain(key, "a request came twice: somebody replays it")
			return (&answer{Error: "this request came before", Code: codeAgain, Seq: k.Seq}).encode(nil)
		}
		k.Seq, k.Seen = q.Seq, now()
		if w := m.members[id]; w != nil {
			w.seen = time.Now()
			if w.gone != "" {
				w.gone = ""
				m.log(fmt.Sprintf("%s is back", w.Name))
			}
		}
	}
	if m.rec != nil && q.Swarm != "" && q.Swarm != m.rec.ID {
		return m.refuse(codeRefused, "this is a different swarm than the one that this run joined: start a new run")
	}
	switch op {
	case opJoin:
		return m.join(id, q)
	case opGet:
		return m.get(id, q)
	case opOpen, opChunk:
		if id == m.founder && m.rec == nil {
			m.asked = time.Now()
		}
		if op == opOpen {
			return m.open(id, q)
		}
		return m.chunk(id, q, body)
	}
	w := m.members[id]
	if w == nil || m.rec == nil {
		return m.refuse(codeUnknown, "the meeting point does not know this worker (any more)")
	}
	switch op {
	case opRound:
		return m.round(w)
	case opBeat:
		return m.beat(w, q)
	}
	m.leave(w, "it left")
	return (&answer{}).encode(nil)
}

// known is what is kept of a worker, or nil.
func (m *meeting) known(id string) *known {
	if m.rec == nil {
		return nil
	}
	return m.rec.Workers[id]
}

func (m *meeting) refuse(c code, why string) []byte {
	return (&answer{Error: why, Code: c}).encode(nil)
}

// complain logs what somebody did wrong, the same at most once a minute.
func (m *meeting) complain(key []byte, what string) {
	who := "somebody"
	id := hex.EncodeToString(key)
	if k := m.known(id); k != nil {
		who = k.Name
	} else if len(key) > 0 {
		who = "the worker with key " + id[:8]
	}
	line := printable.String(fmt.Sprintf("refused %s: %s", who, what))
	if time.Since(m.said[line]) < time.Minute {
		return
	}
	if len(m.said) > 1000 {
		clear(m.said)
	}
	m.said[line] = time.Now()
	m.log(line)
}

// join takes a worker in, or asks it to found the swarm.
func (m *meeting) join(id string, q *request) []byte {
	if m.rec == nil {
		return m.askToFound(id, q)
	}
	if d := m.rec.difference(q); d != "" {
		m.log(printable.String(fmt.Sprintf("refused %s: %s", q.Name, d)))
		return m.refuse(codeRefused, d+": leave out the flag that says so, to take over the settings of the swarm")
	}
	w := m.members[id]
	if w == nil {
		if len(m.members) >= m.rules.MostWorkers {
			return m.refuse(codeRefused, fmt.Sprintf("the swarm has %d workers, and takes no more", len(m.members)))
		}
		k, isNew := m.rec.meet(id, q.Name, q.Card)
		k.Seq, k.Seen = q.Seq, now()
		w = &member{known: k, key: id, began: -1}
		m.members[id] = w
		m.log(fmt.Sprintf("%s joins, with %s", k.Name, k.Card))
		if isNew {
			m.keep()
		}
	}
	w.seen, w.samples = time.Now(), q.StepSamples
	return (&answer{Swarm: m.rec.ID, Name: w.Name}).encode(nil)
}

// askToFound asks the first worker of an empty swarm for plan and weights.
func (m *meeting) askToFound(id string, q *request) []byte {
	if q.Swarm != "" {
		return m.refuse(codeRefused, "the meeting point knows no swarm: it lost what this run joined. Start a new run, with --init to continue from its weights")
	}
	if q.Parameters > m.rules.MostParameter {
		return m.refuse(codeRefused, fmt.Sprintf("the model has %d parameters, and the meeting point takes at most %d: start it with a higher --max-parameters", q.Parameters, m.rules.MostParameter))
	}
	if m.founder != id && m.founder != "" && time.Since(m.asked) < max(m.rules.Silence, 4*time.Second) {
		return (&answer{Wait: "another worker is sending the first weights"}).encode(nil)
	}
	k := &known{Name: q.Name, Card: q.Card, Joined: now(), Seen: now(), Seq: q.Seq}
	m.members = map[string]*member{id: {known: k, key: id, seen: time.Now(), began: -1, samples: q.StepSamples}}
	m.founder, m.asked = id, time.Now()
	return (&answer{Found: true}).encode(nil)
}

// get gives a piece of what a worker takes.
func (m *meeting) get(id string, q *request) []byte {
	if m.rec == nil {
		return m.refuse(codeUnknown, "the swarm has no weights yet")
	}
	if q.Kind != kindPlan && q.Round != m.rec.Round {
		return m.refuse(codeOver, fmt.Sprintf("round %d is over", q.Round))
	}
	var piece []byte
	size := int64(0)
	switch q.Kind {
	case kindPlan:
		size, piece = int64(len(m.plan)), cut(m.plan, q.At)
	case kindChange:
		size, piece = int64(len(m.change)), cut(m.change, q.At)
	case kindWeights:
		size = 4 * int64(len(m.outer.weights))
		if q.At < size && q.At%4 == 0 {
			list := m.outer.weights[q.At/4:]
			piece = appendFloats(make([]byte, 0, chunkLen), list[:min(len(list), chunkLen/4)])
		}
	}
	if len(piece) == 0 {
		return m.refuse(codeRefused, fmt.Sprintf("there is no %q from byte %d on", q.Kind, q.At))
	}
	if k := m.known(id); k != nil {
		k.Received += int64(len(piece))
	}
	sha := ""
	if q.Kind == kindPlan {
		sha = m.rec.Plan.SHA256
	}
	return (&answer{Bytes: size, SHA256: sha}).encode(piece)
}

// cut is the piece of b that begins at a place.
func cut(b []byte, at int64) []byte {
	if at >= int64(len(b)) {
		return nil
	}
	return b[at:min(int64(len(b)), at+chunkLen)]
}

// round tells a worker what to train now.
func (m *meeting) round(w *member) []byte {
	r := m.rec
	if w.began != r.Round {
		w.began, w.now, w.late = r.Round, 0, !m.closing.IsZero()
	}
	a := &answer{
		Swarm: r.ID, Name: w.Name, Round: r.Round, Step: r.Step, Total: r.Total, Tokens: r.Tokens, Local: m.local(),
		SHA256: m.weights, Changed: m.change != nil, Counted: w.Last == r.Round && r.Round > 0,
	}
	if a.Local > 0 {
		w.parts = r.Parts.fill(w.parts, int64(a.Local)*w.samples)
		a.Parts = w.parts
	}
	return a.encode(nil)
}

// local is the most local steps of the round.
func (m *meeting) local() int {
	return int(min(m.rules.localAt(m.rec.Step), m.rec.Total-m.rec.Step))
}

// localAt is the most local steps of a round that begins after so many steps of the
// schedule.
func (r Rules) localAt(step int64) int64 {
	most := int64(r.LocalSteps)
	if step >= int64(r.GrowSteps) {
		return most
	}
	return max(1, most*step/int64(r.GrowSteps))
}

// beat takes a sign of life.
func (m *meeting) beat(w *member, q *request) []byte {
	r := m.rec
	if q.Round == r.Round {
		w.began, w.now, w.speed = r.Round, q.Steps, q.Speed
		if !(w.speed >= 0 && w.speed < 1e12) {
			w.speed = 0
		}
	}
	return (&answer{Swarm: r.ID, Round: r.Round, Closing: !m.closing.IsZero() && !m.rules.Even, Held: w.got != nil}).encode(nil)
}

// leave marks a worker as gone.
func (m *meeting) leave(w *member, why string) {
	if w.gone == "" {
		w.gone = why
		m.log(fmt.Sprintf("%s: %s", w.Name, why))
	}
}

// keep stores the record. After an error the meeting point stops: what it knows
// would be lost.
func (m *meeting) keep() {
	if err := m.store.commit(context.Background(), m.rec); err != nil {
		m.failed = err
	}
}

// found begins the swarm with what its first worker sent.
func (m *meeting) found(u *upload) error {
	plan, weights, err := readFounding(u.have, u.model.Parameters)
	if err != nil {
		return err
	}
	ctx := context.Background()
	r := newRecord()
	r.Parameters, r.StepTokens, r.Samples, r.Total, r.Agreement, r.Step = u.model.Parameters, u.model.StepTokens, u.model.StepSamples, u.model.TotalSteps, u.model.Agreement, min(u.model.Step, u.model.TotalSteps)
	o := newOuter(weights)
	if r.Plan, err = m.store.put(ctx, "plan-"+r.ID, bytes.NewReader(plan)); err == nil {
		r.State, err = m.store.put(ctx, fmt.Sprintf("state-%s-%d", r.ID, r.Round), stateReader(o, nil))
	}
	if err == nil {
		w := m.members[m.founder]
		r.Workers[m.founder] = w.known
		err = m.store.commit(ctx, r)
	}
	if err != nil {
		m.failed = err
		return err
	}
	m.rec, m.plan, m.outer, m.weights = r, slices.Clone(plan), o, hashFloats(weights)
	m.began = time.Now()
	m.log(fmt.Sprintf("%s founds the swarm: %d parameters, %d steps", m.members[m.founder].Name, r.Parameters, r.Total))
	return nil
}

// status is what everybody may know.
func (m *meeting) status() *runs.Swarm {
	s := &runs.Swarm{Name: m.name, Phase: runs.SwarmEmpty, LocalSteps: m.rules.LocalSteps, At: now(), Workers: []runs.SwarmWorker{}}
	r := m.rec
	if r == nil {
		return s
	}
	s.ID, s.Round, s.Step, s.Steps, s.Tokens, s.Parameters, s.Rounds = r.ID, r.Round, r.Step, r.Total, r.Tokens, r.Parameters, r.Rounds
	switch {
	case r.finished():
		s.Phase = runs.SwarmFinished
	case !m.closing.IsZero():
		s.Phase = runs.SwarmExchanging
	default:
		s.Phase = runs.SwarmTraining
	}
	for _, id := range slices.Sorted(maps.Keys(r.Workers)) {
		k := r.Workers[id]
		x := runs.SwarmWorker{
			Name: k.Name, Key: id[:8], Card: k.Card, Joined: k.Joined, Seen: k.Seen, Rounds: k.Rounds, Steps: k.Steps,
			Tokens: k.Steps * r.StepTokens, LeftOut: k.LeftOut, Reason: k.Reason, Sent: k.Sent, Received: k.Received,
		}
		if w := m.members[id]; w != nil && w.gone == "" {
			x.Here, x.TokensPerSec = true, w.speed
			if w.began == r.Round {
				x.Now = w.now
			}
		}
		s.Workers = append(s.Workers, x)
	}
	slices.SortStableFunc(s.Workers, func(a, b runs.SwarmWorker) int {
		if a.Here != b.Here {
			if a.Here {
				return -1
			}
			return 1
		}
		return b.Seen.Compare(a.Seen)
	})
	return s
}
