package cluster

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"sync/atomic"
)

// Group is the ranks that train one run, seen by one of them. All ranks call
// the same methods in the same order, each from one goroutine. A nil Group is a
// process alone: rank 0 of 1.
type Group struct {
	me, n   int
	hosts   []string // by rank
	local   int      // this rank among those of its host
	library string
	engine  *engine
}

// Join joins the processes that mpirun, mpiexec or srun started with this one.
// It gives nil for a process that was started alone.
func Join() (*Group, error) {
	l, err := findLaunch(os.Getenv)
	if err != nil || l.size == 1 {
		return nil, err
	}
	applySettings()
	g, err := newGroup(func() (transport, error) { return openMPI(l.libraries) })
	if err != nil {
		return nil, fmt.Errorf("this process was started as one of several, but MPI cannot be used: %w (set %s to the library of the MPI that started it)", err, LibraryVariable)
	}
	if l.size > 0 && g.n != l.size {
		g.Leave(nil)
		return nil, fmt.Errorf("the launcher started %d processes, but %s sees %d: launcher and library belong to different MPIs: set %s to the library of the launcher's", l.size, g.library, g.n, LibraryVariable)
	}
	if g.n == 1 {
		g.Leave(nil)
		return nil, nil
	}
	return g, nil
}

// hostBytes is the room for a host's name.
const hostBytes = 128

func newGroup(open func() (transport, error)) (*Group, error) {
	e, err := startEngine(open)
	if err != nil {
		return nil, err
	}
	g := &Group{me: e.me, n: e.n, engine: e, library: e.library}
	host, _ := os.Hostname()
	own := make([]byte, hostBytes)
	copy(own, host)
	all, err := g.Gather(own)
	if err != nil {
		g.Leave(err)
		return nil, err
	}
	for r, name := range all {
		host := string(bytes.TrimRight(name, "\x00"))
		if r < g.me && host == string(bytes.TrimRight(own, "\x00")) {
			g.local++
		}
		g.hosts = append(g.hosts, host)
	}
	e.named.Store(&g.hosts)
	return g, nil
}

// Rank is this process's number, from 0.
func (g *Group) Rank() int {
	if g == nil {
		return 0
	}
	return g.me
}

// Size is how many ranks there are.
func (g *Group) Size() int {
	if g == nil {
		return 1
	}
	return g.n
}

// Local is this rank's number among the ranks of its host, from 0.
func (g *Group) Local() int {
	if g == nil {
		return 0
	}
	return g.local
}

// Hosts are the names of the ranks' hosts.
func (g *Group) Hosts() []string {
	if g == nil {
		return nil
	}
	return slices.Clone(g.hosts)
}

// Library names the MPI library.
func (g *Group) Library() string {
	if g == nil {
		return ""
	}
	return g.library
}

// Busy tells the other ranks that this one does something that may take long,
// until done is called: they wait for it without a limit while it is alive.
func (g *Group) Busy() (done func()) {
	if g == nil {
		return func() {}
	}
	g.engine.busy.Add(1)
	var once atomic.Bool
	return func() {
		if once.CompareAndSwap(false, true) {
			g.engine.busy.Add(-1)
		}
	}
}

// Pending is an exchange under way.
type Pending struct{ list []*operation }

// Wait waits until the exchange is complete. Its error ends the run.
func (p *Pending) Wait() error {
	for _, o := range p.list {
		<-o.done
		if o.err != nil {
			return o.err
		}
	}
	return nil
}

// Sum starts to replace values by their sum over all ranks. The order of the
// additions is that of the ranks, so that the result is the same at each run and
// to the bit the same on all ranks. values belongs to the group until Wait
// returns.
func (g *Group) Sum(values []float32, as Format) *Pending {
	p := &Pending{}
	if g == nil {
		return p
	}
	for len(values) > 0 {
		block := values[:min(len(values), blockValues)]
		values = values[len(block):]
		p.list = append(p.list, g.engine.post(sumOperation(g.me, g.n, block, as)))
	}
	return p
}

// Gather gives what each rank passed; all pass the same number of bytes.
func (g *Group) Gather(own []byte) ([][]byte, error) {
	if g == nil {
		return [][]byte{own}, nil
	}
	o, all := gatherOperation(g.me, g.n, own)
	return all, (&Pending{[]*operation{g.engine.post(o)}}).Wait()
}

// Barrier waits for all ranks.
func (g *Group) Barrier() error {
	_, err := g.Gather(make([]byte, 1))
	return err
}

// Agree gives, for each value, the highest that a rank passed. A flag that any
// rank sets is set for all.
func (g *Group) Agree(values ...int64) ([]int64, error) {
	all, err := g.gatherInts(values)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(values)
	for _, list := range all {
		for i, v := range list {
			out[i] = max(out[i], v)
		}
	}
	return out, nil
}

// Same reports the first rank that passed a different value than rank 0, or -1.
func (g *Group) Same(value uint64) (different int, err error) {
	all, err := g.gatherInts([]int64{int64(value)})
	if err != nil {
		return -1, err
	}
	for r, v := range all {
		if v[0] != all[0][0] {
			return r, nil
		}
	}
	return -1, nil
}

func (g *Group) gatherInts(values []int64) ([][]int64, error) {
	own := make([]byte, 8*len(values))
	for i, v := range values {
		binary.LittleEndian.PutUint64(own[8*i:], uint64(v))
	}
	all, err := g.Gather(own)
	if err != nil {
		return nil, err
	}
	out := make([][]int64, len(all))
	for r, b := range all {
		for i := range values {
			out[r] = append(out[r], int64(binary.LittleEndian.Uint64(b[8*i:])))
		}
	}
	return out, nil
}

// Broadcast replaces data by that of rank 0; all pass the same number of bytes.
func (g *Group) Broadcast(data []byte) error {
	if g == nil {
		return nil
	}
	p := &Pending{}
	for len(data) > 0 {
		block := data[:min(len(data), 4*blockValues)]
		data = data[len(block):]
		p.list = append(p.list, g.engine.post(broadcastOperation(g.me, g.n, block)))
	}
	return p.Wait()
}

// Tell gives text of rank 0 to all; the others pass nothing.
func (g *Group) Tell(text []byte) ([]byte, error) {
	if g == nil {
		return text, nil
	}
	n := make([]byte, 8)
	binary.LittleEndian.PutUint64(n, uint64(len(text)))
	if err := g.Broadcast(n); err != nil {
		return nil, err
	}
	if g.me != 0 {
		text = make([]byte, binary.LittleEndian.Uint64(n))
	}
	return text, g.Broadcast(text)
}

// ErrOther marks the error of a run that another rank has ended, and which reports
// it.
var ErrOther = errors.New("another rank ended the run")

// ErrLost marks the error of a run that this rank has ended because another one
// was killed, hangs or cannot be reached.
var ErrLost = errors.New("a rank is lost")

// lostError is an ErrLost that says which rank.
type lostError string

func (e lostError) Error() string   { return string(e) }
func (lostError) Is(err error) bool { return err == ErrLost }

// Leave ends this rank's part. With an error the other ranks end with it too, as
// soon as they hear of it. Where a rank is lost it ends the processes of all, this
// one included: report the error before. Rank 0 always does. The others may ask
// afterwards: reported says that rank 0 has left with an error, too, which tells
// theirs or is the same.
func (g *Group) Leave(err error) (reported bool) {
	if g == nil {
		return false
	}
	g.engine.leave(err)
	return g.engine.firstLeft.Load()
}

// BroadcastValues is Broadcast for numbers.
func (g *Group) BroadcastValues(values []float32) error { return g.Broadcast(raw(values)) }

// GatherFloats gives the numbers that each rank passed.
func (g *Group) GatherFloats(own ...float64) ([][]float64, error) {
	all, err := g.Gather(raw(own))
	out := make([][]float64, len(all))
	for r, b := range all {
		for i := range own {
			out[r] = append(out[r], math.Float64frombits(binary.NativeEndian.Uint64(b[8*i:])))
		}
	}
	return out, err
}
