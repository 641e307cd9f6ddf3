package cluster

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

const (
	mostActive = 4                      // operations under way at once
	shortNap   = 20 * time.Microsecond  // while messages arrive
	longNap    = 100 * time.Microsecond // while they do not
	idleNap    = 20 * time.Millisecond  // without operations: only signs of life
	lingering  = time.Second            // for the news of a failure to reach the others
	hearing    = 5 * time.Second        // for rank 0 to tell of it
	leaving    = 10 * time.Second       // for MPI to end

	pulseTag = 1
	firstTag = 16
	tagCycle = 4096 // operations until tags repeat
)

// engine is the goroutine that owns a rank's transport. It runs the operations
// that are posted, in order, a few at once, and exchanges signs of life.
type engine struct {
	me, n   int
	library string
	t       transport
	named   atomic.Pointer[[]string] // hosts

	posted  chan *operation
	entered atomic.Int64 // operations posted
	busy    atomic.Int64
	quit    chan error    // why: told to the others
	parted  chan struct{} // closed when this rank has nothing more to tell or to hear
	gone    chan struct{} // closed when the goroutine has ended

	firstLeft atomic.Bool // rank 0 has left with an error

	mu     sync.Mutex
	failed error

	queue  []*operation
	active []*operation
	free   [][]float32 // scratch memory
	watch  *watch
}

// startEngine opens a transport on a thread of its own.
func startEngine(open func() (transport, error)) (*engine, error) {
	e := &engine{posted: make(chan *operation, 1024), quit: make(chan error, 1), parted: make(chan struct{}), gone: make(chan struct{})}
	opened := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // MPI is called by one thread
		defer close(e.gone)
		t, err := open()
		if err == nil {
			e.t, e.me, e.n, e.library = t, t.rank(), t.size(), t.name()
			e.watch = newWatch(e.me, e.n, time.Now())
			err = e.watch.listen(t)
		}
		opened <- err
		if err == nil {
			e.run()
		}
	}()
	return e, <-opened
}

// post hands over an operation.
func (e *engine) post(o *operation) *operation {
	o.done = make(chan struct{})
	o.number = e.entered.Add(1) - 1
	if err := e.failure(); err != nil {
		o.err = err
		close(o.done)
		return o
	}
	select {
	case e.posted <- o:
	case <-e.gone:
		o.err = errors.New("this rank has left the others")
		close(o.done)
	}
	return o
}

func (e *engine) failure() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.failed
}

// fail ends all operations, now and later.
func (e *engine) fail(err error) {
	e.mu.Lock()
	if e.failed == nil {
		e.failed = err
	}
	e.mu.Unlock()
	for _, o := range append(e.active, e.queue...) {
		o.err = err
		close(o.done)
	}
	e.active, e.queue = nil, nil
}

// broken is an error of the transport: the other side is gone, or the network.
func broken(err error) error {
	return lostError(err.Error() + ": that rank has ended, or the network to it is down")
}

// run is the loop of the goroutine.
func (e *engine) run() {
	nap := shortNap
	for {
		moved := e.take()
		if moved = e.advance() || moved; moved {
			nap = shortNap
		}
		if now := time.Now(); e.watch.due(now) {
			if err := e.attend(now); err != nil {
				e.fail(err)
			}
		}
		select {
		case why := <-e.quit:
			e.end(why)
			return
		default:
		}
		switch {
		case moved:
		case len(e.active) == 0:
			e.idle()
		default:
			time.Sleep(nap)
			nap = min(nap*5/4, longNap)
		}
	}
}

// idle waits for an operation, for a short time.
func (e *engine) idle() {
	timer := time.NewTimer(idleNap)
	defer timer.Stop()
	select {
	case o := <-e.posted:
		e.queue = append(e.queue, o)
	case why := <-e.quit:
		e.quit <- why
	case <-timer.C:
	}
}

// take gets what was posted, and starts as much as may be under way.
func (e *engine) take() (moved bool) {
	for {
		select {
		case o := <-e.posted:
			if err := e.failure(); err != nil {
				o.err = err
				close(o.done)
				continue
			}
			e.queue = append(e.queue, o)
			continue
		default:
		}
		break
	}
	for len(e.queue) > 0 && len(e.active) < mostActive {
		o := e.queue[0]
		e.queue = e.queue[1:]
		o.memory = e.scratch(o.values)
		e.active = append(e.active, o)
		if err := e.start(o); err != nil {
			e.fail(broken(err))
			return true
		}
		moved = true
	}
	return moved
}

// scratch gives memory for an operation, as far as can be that of an earlier one.
func (e *engine) scratch(n int) []float32 {
	if n == 0 {
		return nil
	}
	for i, m := range e.free {
		if cap(m) >= n {
			e.free = append(e.free[:i], e.free[i+1:]...)
			return m[:n]
		}
	}
	return make([]float32, n)
}

// start posts the messages of the first stage that is left.
func (e *engine) start(o *operation) error {
	stage := len(o.stages) % 2 // no operation has more than two
	m := &messages{t: e.t, tag: firstTag + int(o.number%tagCycle)*2 + stage, scratch: o.memory, under: o.under[:0]}
	err := o.stages[0].post(m)
	o.under = m.under
	return err
}

// advance looks which messages are complete, and reports whether any was.
func (e *engine) advance() (moved bool) {
	for i := 0; i < len(e.active); i++ {
		o := e.active[i]
		left := o.under[:0]
		for _, r := range o.under {
			done, err := r.done()
			if err != nil {
				e.fail(broken(err))
				return true
			}
			if !done {
				left = append(left, r)
			}
		}
		moved = moved || len(left) < len(o.under)
		o.under = left
		if len(left) > 0 {
			continue
		}
		moved = true
		if then := o.stages[0].then; then != nil {
			then()
		}
		if o.stages = o.stages[1:]; len(o.stages) > 0 {
			if err := e.start(o); err != nil {
				e.fail(broken(err))
				return true
			}
			continue
		}
		if o.memory != nil && len(e.free) < mostActive {
			e.free = append(e.free, o.memory)
		}
		e.active = append(e.active[:i], e.active[i+1:]...)
		i--
		e.watch.done++
		close(o.done)
	}
	return moved
}

// attend exchanges signs of life, and is an error if a rank is lost.
func (e *engine) attend(now time.Time) error {
	if e.failure() != nil {
		e.watch.looked = now
		e.watch.spread(e.t, now)
		return nil
	}
	err := e.watch.attend(e.t, now, e.entered.Load(), e.busy.Load() > 0, e.name)
	if err != nil && !errors.Is(err, ErrLost) && !errors.Is(err, ErrOther) {
		return broken(err)
	}
	return err
}

// name says which rank is meant.
func (e *engine) name(r int) string {
	if hosts := e.named.Load(); hosts != nil {
		return fmt.Sprintf("rank %d on %s", r, (*hosts)[r])
	}
	return fmt.Sprintf("rank %d", r)
}

// leave ends the goroutine, and waits for it.
func (e *engine) leave(err error) {
	select {
	case e.quit <- err:
	case <-e.gone:
	}
	select {
	case <-e.gone:
		return
	case <-e.parted:
	}
	select { // a library that does not let go must not keep the process
	case <-e.gone:
	case <-time.After(leaving):
	}
}

// end leaves in good order, or tells the others why not.
func (e *engine) end(why error) {
	failed := e.failure()
	if why == nil && failed == nil {
		_ = e.part() // the launcher ends what is left
		return
	}
	if why != nil && failed == nil {
		e.watch.tell(e.name(e.me) + ": " + why.Error())
		e.fail(why)
	}
	// The news must reach the others before the launcher ends them.
	e.watch.end()
	stay := lingering
	if e.me > 0 && !errors.Is(failed, ErrLost) {
		stay = hearing
	}
	for until := time.Now().Add(stay); time.Now().Before(until) && !e.firstLeft.Load(); time.Sleep(time.Millisecond) {
		e.watch.spread(e.t, time.Now())
		e.firstLeft.Store(e.watch.firstLeft(e.t))
	}
	close(e.parted)
	if errors.Is(failed, ErrLost) { // whoever hangs must be ended too
		e.t.abort(1)
	}
}

// part says goodbye to the other ranks and leaves when all have.
func (e *engine) part() error {
	defer func() {
		select {
		case <-e.parted:
		default:
			close(e.parted)
		}
	}()
	e.watch.bye = true
	for !e.watch.parted() {
		if err := e.watch.attend(e.t, time.Now(), e.entered.Load(), true, e.name); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	close(e.parted)
	return e.t.finalize()
}
