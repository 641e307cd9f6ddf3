package cluster

import (
	"encoding/binary"
	"fmt"
	"time"
)

const (
	pulseEvery  = time.Second
	lookEvery   = 100 * time.Millisecond
	silentLimit = 30 * time.Second // without a sign of life a rank is lost
	lateLimit   = 50 * time.Second // for a step that the others have finished, if it is alive
	lateTimes   = 4                // or so many times the slowest step so far
)

// pulse is a rank's sign of life.
type pulse struct {
	entered, done int64 // operations
	busy, bye     bool
	failed        string // why the run ends
}

const (
	pulseBytes = 768
	pulseText  = pulseBytes - 20
)

func (p pulse) put(b []byte) {
	binary.LittleEndian.PutUint64(b, uint64(p.entered))
	binary.LittleEndian.PutUint64(b[8:], uint64(p.done))
	b[16], b[17] = 0, 0
	if p.busy {
		b[16] = 1
	}
	if p.bye {
		b[17] = 1
	}
	n := copy(b[20:], p.failed)
	binary.LittleEndian.PutUint16(b[18:], uint16(n))
}

func readPulse(b []byte) pulse {
	n := min(int(binary.LittleEndian.Uint16(b[18:])), pulseText)
	return pulse{
		entered: int64(binary.LittleEndian.Uint64(b)), done: int64(binary.LittleEndian.Uint64(b[8:])),
		busy: b[16] == 1, bye: b[17] == 1, failed: string(b[20:][:n]),
	}
}

// peer is another rank as signs of life show it.
type peer struct {
	last    pulse
	heard   time.Time
	changed time.Time // when it last entered or finished an operation
	in, out []byte
	reading request // nil after its goodbye
	writing request // nil if none is under way
	told    bool    // what writing, or the last one, says why the run ends
	parting bool    // and this, that this rank leaves
}

// watch exchanges signs of life. All ranks send theirs to rank 0, which sends
// its own to all, and what it finds with it: rank 0 sees all, the others see it.
type watch struct {
	me      int
	done    int64 // operations that this rank has finished
	bye     bool  // this rank has nothing more to do
	verdict string

	peers   map[int]*peer
	own     pulse
	changed time.Time // of own
	slowest time.Duration
	looked  time.Time
	sent    time.Time
}

func newWatch(me, n int, now time.Time) *watch {
	w := &watch{me: me, peers: map[int]*peer{}, changed: now, looked: now}
	for r := range n {
		if r != me && (me == 0 || r == 0) {
			w.peers[r] = &peer{heard: now, changed: now, in: make([]byte, pulseBytes), out: make([]byte, pulseBytes)}
		}
	}
	return w
}

// listen makes ready for the peers' first signs of life.
func (w *watch) listen(t transport) (err error) {
	for r, p := range w.peers {
		if p.reading, err = t.receive(r, pulseTag, p.in); err != nil {
			return err
		}
	}
	return nil
}

func (w *watch) due(now time.Time) bool { return now.Sub(w.looked) >= lookEvery }

// attend hears and tells. It is an error if the run cannot continue: name says
// who a rank is.
func (w *watch) attend(t transport, now time.Time, entered int64, busy bool, name func(int) string) error {
	if gap := now.Sub(w.looked); gap > pulseEvery { // this process did not run: it could not hear the others
		for _, p := range w.peers {
			p.heard, p.changed = p.heard.Add(gap), p.changed.Add(gap)
		}
		w.changed = w.changed.Add(gap)
	}
	w.looked = now
	if entered != w.own.entered || w.done != w.own.done {
		w.note(w.own, &w.changed, now)
	}
	w.own = pulse{entered: entered, done: w.done, busy: busy, bye: w.bye}
	for r, p := range w.peers {
		if err := w.hear(t, r, p, now); err != nil {
			return err
		}
		if p.last.failed != "" {
			w.tell(p.last.failed)
			w.spread(t, now)
			return fmt.Errorf("%w: %s", ErrOther, p.last.failed)
		}
	}
	if found := w.judge(now, name); found != "" {
		w.tell(found)
		w.spread(t, now)
		return lostError(found)
	}
	return w.speak(t, now)
}

// note takes in that a rank got on.
func (w *watch) note(before pulse, changed *time.Time, now time.Time) {
	if !before.busy {
		w.slowest = max(w.slowest, now.Sub(*changed))
	}
	*changed = now
}

// hear reads what a peer sent.
func (w *watch) hear(t transport, r int, p *peer, now time.Time) error {
	for p.reading != nil {
		done, err := p.reading.done()
		if err != nil || !done {
			return err
		}
		got := readPulse(p.in)
		p.heard = now
		if got.entered != p.last.entered || got.done != p.last.done {
			w.note(p.last, &p.changed, now)
		}
		p.last, p.reading = got, nil
		if got.bye {
			return nil
		}
		if p.reading, err = t.receive(r, pulseTag, p.in); err != nil {
			return err
		}
	}
	return nil
}

// speak sends this rank's sign of life when it is time.
func (w *watch) speak(t transport, now time.Time) error {
	due := now.Sub(w.sent) >= pulseEvery
	if due {
		w.sent = now
	}
	for r, p := range w.peers {
		if p.writing != nil {
			done, err := p.writing.done()
			if err != nil {
				return err
			}
			if !done {
				continue
			}
			p.writing = nil
		}
		if p.parting || !due && !w.bye {
			continue
		}
		w.own.put(p.out)
		p.parting = w.own.bye
		var err error
		if p.writing, err = t.send(r, pulseTag, p.out); err != nil {
			return err
		}
	}
	return nil
}

// parted reports whether all peers have said goodbye and heard this rank's.
func (w *watch) parted() bool {
	for _, p := range w.peers {
		if !p.last.bye || !p.parting || p.writing != nil {
			return false
		}
	}
	return true
}

// tell makes a reason to end known to the peers from now on. The first stays.
func (w *watch) tell(why string) {
	if w.verdict == "" {
		w.verdict = why
	}
}

// spread sends the reason to peers that have not got it. What goes wrong does no
// more harm.
func (w *watch) spread(t transport, now time.Time) {
	for r, p := range w.peers {
		if p.writing != nil {
			if done, err := p.writing.done(); err != nil || !done {
				continue
			}
			p.writing = nil
		}
		if p.told || w.verdict == "" {
			continue
		}
		p.told = true
		end := w.own
		end.failed = w.verdict
		end.put(p.out)
		p.writing, _ = t.send(r, pulseTag, p.out)
	}
}

// end makes known, with the reason, that this rank now leaves.
func (w *watch) end() {
	w.own.bye = true
	for _, p := range w.peers {
		p.told = false
	}
}

// firstLeft hears rank 0, and reports whether it has left with an error.
func (w *watch) firstLeft(t transport) bool {
	first := w.peers[0]
	if first == nil {
		return false
	}
	_ = w.hear(t, 0, first, time.Now()) // whoever cannot be heard has said nothing
	return first.last.bye && first.last.failed != ""
}

// judge finds a rank that is lost, and says so in a sentence.
func (w *watch) judge(now time.Time, name func(int) string) string {
	top, behind, since := w.own.entered, w.me, w.changed
	lowest, idle := w.own, w.own.done == w.own.entered
	for r, p := range w.peers {
		if quiet := now.Sub(p.heard); quiet > silentLimit && !p.last.bye {
			return fmt.Sprintf("%s has not answered for %.0f s: its process or its machine has stopped, or the network to it is down", name(r), quiet.Seconds())
		}
		if w.me != 0 {
			continue
		}
		top = max(top, p.last.entered)
		if p.last.entered < lowest.entered || p.last.entered == lowest.entered && p.changed.Before(since) {
			lowest, behind, since = p.last, r, p.changed
		}
		idle = idle && p.last.done == p.last.entered
	}
	limit := max(lateLimit, lateTimes*w.slowest)
	if w.me != 0 || w.bye || idle || lowest.busy || now.Sub(since) < limit {
		return ""
	}
	if lowest.entered < top {
		return fmt.Sprintf("%s is alive, but has not finished its step for %.0f s", name(behind), now.Sub(since).Seconds())
	}
	for _, p := range w.peers { // all wait: for the network
		if p.last.busy || now.Sub(p.changed) < limit {
			return ""
		}
	}
	if w.own.busy || now.Sub(w.changed) < limit {
		return ""
	}
	return fmt.Sprintf("the exchange between the ranks has not moved for %.0f s: a network between them is down", now.Sub(since).Seconds())
}
