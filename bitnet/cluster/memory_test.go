package cluster

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// network is a transport in memory.
type network struct {
	mu       sync.Mutex
	messages map[route][]*message
	frozen   atomic.Int64 // a rank whose messages do not move, or -1
	aborted  atomic.Bool
}

type route struct{ from, to, tag int }

// message is both ends of one: done when data and room are there.
type message struct {
	data, room []byte
	complete   bool
}

type inMemory struct {
	net   *network
	me, n int
}

func (t inMemory) rank() int    { return t.me }
func (t inMemory) size() int    { return t.n }
func (t inMemory) name() string { return "memory" }

func (t inMemory) send(to, tag int, data []byte) (request, error) {
	return t.meet(route{t.me, to, tag}, func(m *message) *[]byte { return &m.data }, data), nil
}

func (t inMemory) receive(from, tag int, data []byte) (request, error) {
	return t.meet(route{from, t.me, tag}, func(m *message) *[]byte { return &m.room }, data), nil
}

// meet finds the first message of a route that lacks one end.
func (t inMemory) meet(r route, end func(*message) *[]byte, data []byte) request {
	t.net.mu.Lock()
	defer t.net.mu.Unlock()
	for _, m := range t.net.messages[r] {
		if *end(m) == nil {
			*end(m) = data
			return underWay{t, m, r}
		}
	}
	m := &message{}
	*end(m) = data
	t.net.messages[r] = append(t.net.messages[r], m)
	return underWay{t, m, r}
}

type underWay struct {
	t inMemory
	m *message
	r route
}

func (u underWay) done() (bool, error) {
	u.t.net.mu.Lock()
	defer u.t.net.mu.Unlock()
	if f := int(u.t.net.frozen.Load()); !u.m.complete && u.m.data != nil && u.m.room != nil && u.r.from != f && u.r.to != f {
		if len(u.m.data) != len(u.m.room) {
			return false, errors.New("a message of another size")
		}
		copy(u.m.room, u.m.data)
		u.m.complete = true
	}
	return u.m.complete, nil
}

func (t inMemory) abort(int)       { t.net.aborted.Store(true) }
func (t inMemory) finalize() error { return nil }

// together runs f on n ranks in memory and gives their errors.
func together(t *testing.T, net *network, n int, f func(g *Group) error) []error {
	net.messages = map[route][]*message{}
	net.frozen.Store(-1)
	errs := make([]error, n)
	var all sync.WaitGroup
	for r := range n {
		all.Go(func() {
			g, err := newGroup(func() (transport, error) { return inMemory{net, r, n}, nil })
			if err == nil {
				err = f(g)
				g.Leave(err)
			}
			errs[r] = err
		})
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Fatal("the ranks hang")
	}
	return errs
}

func TestCollectives(t *testing.T) {
	for _, n := range []int{2, 3, 5} {
		for r, err := range together(t, &network{}, n, collectivesSmall) {
			require.NoError(t, err, "rank %d of %d", r, n)
		}
	}
}

// A rank that fails ends the others at once, with its reason.
func TestFailureIsTold(t *testing.T) {
	net := &network{}
	began := time.Now()
	errs := together(t, net, 3, func(g *Group) error {
		if g.Rank() == 2 {
			return errors.New("the card is gone")
		}
		return g.Barrier()
	})
	require.EqualError(t, errs[2], "the card is gone")
	for _, err := range errs[:2] {
		require.ErrorIs(t, err, ErrOther)
		require.ErrorContains(t, err, "rank 2 on ")
		require.ErrorContains(t, err, ": the card is gone")
	}
	require.Less(t, time.Since(began), 10*time.Second)
	require.False(t, net.aborted.Load(), "nobody hangs")
}

// Where all ranks find the same error, the others hear that rank 0 has told it. Where
// rank 0 only hears of it, it has not.
func TestWhoReports(t *testing.T) {
	for _, slow := range []bool{false, true} {
		var reported [3]bool
		together(t, &network{}, 3, func(g *Group) error {
			if slow && g.Rank() == 0 {
				time.Sleep(hearing + lingering) // computes, and does not look
				return g.Barrier()
			}
			err := errors.New("the batch cannot be shared")
			reported[g.Rank()] = g.Leave(err)
			return err
		})
		require.Equal(t, [3]bool{false, !slow, !slow}, reported)
	}
}

// watches gives the signs of life of n ranks, as seen by rank 0, without a network.
func watches(n int) (*watch, time.Time) {
	now := time.Now()
	return newWatch(0, n, now), now
}

func named(r int) string { return string(rune('A' + r)) }

func TestJudge(t *testing.T) {
	second := time.Second
	for _, row := range []struct {
		name  string
		after time.Duration
		do    func(w *watch, start, now time.Time)
		want  string
	}{
		{"all at work", 20 * second, func(*watch, time.Time, time.Time) {}, ""},
		{"silent", 31 * second, func(*watch, time.Time, time.Time) {}, "has not answered for 31 s"},
		{"computing, nobody waits", 200 * second, func(w *watch, _, now time.Time) { alive(w, now) }, ""},
		{"late", 51 * second, func(w *watch, _, now time.Time) {
			alive(w, now)
			w.own.entered, w.peers[1].last.entered = 5, 5
		}, "C is alive, but has not finished its step for 51 s"},
		{"busy with something long", 51 * second, func(w *watch, _, now time.Time) {
			alive(w, now)
			w.own.entered, w.peers[1].last.entered, w.peers[2].last.busy = 5, 5, true
		}, ""},
		{"steps are slow here", 51 * second, func(w *watch, _, now time.Time) {
			alive(w, now)
			w.own.entered, w.peers[1].last.entered = 5, 5
			w.slowest = 20 * second
		}, ""},
		{"all wait", 51 * second, func(w *watch, _, now time.Time) {
			alive(w, now)
			w.own.entered, w.peers[1].last.entered, w.peers[2].last.entered = 5, 5, 5
		}, "has not moved for 51 s"},
		{"one got on", 51 * second, func(w *watch, _, now time.Time) {
			alive(w, now)
			w.own.entered, w.peers[1].last.entered, w.peers[2].last.entered = 5, 5, 5
			w.peers[1].changed = now
		}, ""},
		{"said goodbye", 200 * second, func(w *watch, _, now time.Time) {
			w.peers[1].last.bye, w.peers[2].last.bye = true, true
		}, ""},
	} {
		w, start := watches(3)
		now := start.Add(row.after)
		row.do(w, start, now)
		got := w.judge(now, named)
		if row.want == "" {
			require.Empty(t, got, row.name)
		} else {
			require.Contains(t, got, row.want, row.name)
		}
	}
}

func alive(w *watch, now time.Time) {
	for _, p := range w.peers {
		p.heard = now
	}
}

func TestPulse(t *testing.T) {
	b := make([]byte, pulseBytes)
	for _, p := range []pulse{{}, {entered: 1 << 40, done: 3, busy: true}, {bye: true, failed: "why"}} {
		p.put(b)
		require.Equal(t, p, readPulse(b))
	}
	long := pulse{failed: string(make([]byte, 2*pulseBytes))}
	long.put(b)
	require.Len(t, readPulse(b).failed, pulseText)
	for i := range b { // whatever arrives
		b[i] = 0xff
	}
	require.Len(t, readPulse(b).failed, pulseText)
}

func TestFindLaunch(t *testing.T) {
	for _, row := range []struct {
		name string
		env  map[string]string
		size int
		lib  string
		err  string
	}{
		{"alone", nil, 1, "", ""},
		{"in a batch job", map[string]string{"SLURM_PROCID": "0", "SLURM_NTASKS": "8", "SLURM_STEP_NUM_TASKS": "1"}, 1, "", ""},
		{"Open MPI", map[string]string{"OMPI_COMM_WORLD_SIZE": "4"}, 4, "libmpi.so.40", ""},
		{"MPICH", map[string]string{"PMI_RANK": "0", "PMI_SIZE": "3"}, 3, "libmpi.so.12", ""},
		{"srun with PMIx", map[string]string{"PMIX_RANK": "1", "SLURM_STEP_NUM_TASKS": "2"}, 2, "libmpi.so.40", ""},
		{"srun without MPI", map[string]string{"SLURM_STEP_NUM_TASKS": "2"}, 0, "", "srun --mpi=pmix"},
		{"the user's own", map[string]string{"PMI_RANK": "0", "PMI_SIZE": "3", LibraryVariable: "/opt/libmpi.so"}, 3, "/opt/libmpi.so", ""},
	} {
		l, err := findLaunch(func(name string) string { return row.env[name] })
		if row.err != "" {
			require.ErrorContains(t, err, row.err, row.name)
			continue
		}
		require.NoError(t, err, row.name)
		require.Equal(t, row.size, l.size, row.name)
		if row.lib != "" {
			require.Equal(t, row.lib, l.libraries[0], row.name)
		}
	}
}

func TestBFloat16(t *testing.T) {
	for v, want := range map[float32]float32{
		0: 0, 1: 1, -2.5: -2.5,
		1.00390625: 1,        // half way: to the even one
		1.01171875: 1.015625, // half way: to the even one
		1.005:      1.0078125,
	} {
		require.Equal(t, want, fromBFloat16(toBFloat16(v)), "%g", v)
	}
	nan := float32(0)
	nan /= nan
	require.True(t, fromBFloat16(toBFloat16(nan)) != fromBFloat16(toBFloat16(nan)), "NaN stays NaN")
}

func BenchmarkSum(b *testing.B) {
	lists := [][]float32{make([]float32, 1<<20), make([]float32, 1<<20), make([]float32, 1<<20), make([]float32, 1<<20)}
	b.SetBytes(4 * 4 << 20)
	for b.Loop() {
		sumFloats(lists[0], lists)
	}
}
