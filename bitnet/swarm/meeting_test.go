package swarm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"bitnet/bitnet/runs"
	"bitnet/bitnet/train"
)

// lines collects what a meeting point or a worker says.
type lines struct {
	mu   sync.Mutex
	list []string
}

func (l *lines) add(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, s)
}

func (l *lines) has(part string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.list, func(s string) bool { return strings.Contains(s, part) })
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.list, "\n")
}

func quickRules() Rules {
	r := DefaultRules()
	r.LocalSteps, r.Patience, r.Silence = 10, 5*time.Second, 2*time.Second
	return r
}

// serving is a meeting point in this process.
type serving struct {
	address, token string
	log            *lines
	stop           func() error
}

// serve starts a meeting point; address "" takes a free port.
func serve(t testing.TB, o ServeOptions) *serving {
	t.Helper()
	s := &serving{log: &lines{}}
	ctx, cancel := context.WithCancel(context.Background())
	o.Log = s.log.add
	if o.Listen == "" && o.NATS == "" {
		o.Listen = "127.0.0.1:0"
	}
	ready := make(chan bool, 1)
	o.Ready = func(a Address, token string) {
		s.address, s.token = a.String(), token
		ready <- true
	}
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, o) }()
	select {
	case <-ready:
	case err := <-ended:
		cancel()
		require.NoError(t, err)
	}
	var once sync.Once
	var err error
	s.stop = func() error {
		once.Do(func() { cancel(); err = <-ended })
		return err
	}
	t.Cleanup(func() { _ = s.stop() })
	return s
}

// toy is a worker that needs no device: its model is a list of numbers, and each
// local step moves them a little towards a target of its own.
type toy struct {
	name    string
	steps   int // that it does in a round: then it waits until others have done all of theirs
	target  []float32
	dir     string
	weights []float32 // at the end
	notes   lines
	parts   [][2]int64
	pause   time.Duration // of a step
}

const toySize = 700

// idle is how long a toy waits for others at the end of a round, which may have none.
const idle = 500 * time.Millisecond

func newToy(t testing.TB, name string, steps int, seed uint64) *toy {
	return &toy{name: name, steps: steps, target: noise(toySize, seed, 1), dir: t.TempDir()}
}

func (x *toy) joining(total int64) *train.Joining {
	return &train.Joining{
		Run: &runs.Run{Name: x.name, Dir: x.dir}, Card: "toy", Config: []byte("name: toy\n"), Agreement: map[string]string{"model": "toy"},
		Steps: total, StepTokens: 100, StepSamples: 4, Weights: make([]float32, toySize),
	}
}

// run trains until the swarm has finished or ctx ends.
func (x *toy) run(ctx context.Context, address, token string, total int64) error {
	c, err := Dial(ctx, address, token, x.notes.add)
	if err != nil {
		return err
	}
	defer c.Close()
	w, err := c.NewWorker(x.name)
	if err != nil {
		return err
	}
	w.every = 20 * time.Millisecond
	r, err := w.Join(ctx, x.joining(total))
	if err != nil {
		return err
	}
	defer w.Leave()
	local := make([]float32, toySize)
	for r.Steps > 0 {
		copy(local, r.Weights)
		done, waiting := 0, time.Now()
		for ctx.Err() == nil {
			if done < x.steps {
				for i := range local {
					local[i] += 0.02 * (x.target[i] - local[i])
				}
				done++
				time.Sleep(x.pause)
				waiting = time.Now()
			} else {
				time.Sleep(time.Millisecond)
			}
			if w.Due(done) || time.Since(waiting) > idle {
				break
			}
		}
		x.parts = append(x.parts, r.Parts...)
		if r, err = w.Exchange(ctx, train.Local{Steps: done, Loss: 1, Weights: local}); err != nil {
			return err
		}
	}
	x.weights = slices.Clone(r.Weights)
	return nil
}

// together runs toys until all have ended.
func together(t testing.TB, s *serving, total int64, toys ...*toy) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	errs := make([]error, len(toys))
	var all sync.WaitGroup
	for i, x := range toys {
		all.Go(func() { errs[i] = x.run(ctx, s.address, s.token, total) })
	}
	all.Wait()
	for i, err := range errs {
		require.NoError(t, err, "%s\n%s\n%s", toys[i].name, &toys[i].notes, s.log)
	}
}

// Workers of different speed train one model, and all end with the same weights,
// near the mean of their targets.
func TestWorkersOfDifferentSpeed(t *testing.T) {
	s := serve(t, ServeOptions{Rules: quickRules(), Dir: t.TempDir()})
	// The speed is that of rounds: one does 10 steps in each, the other 2.
	fast, slow := newToy(t, "fast", 10, 1), newToy(t, "slow", 2, 2)
	together(t, s, 300, fast, slow)
	require.Equal(t, fast.weights, slow.weights)
	st := status(t, s)
	require.Equal(t, runs.SwarmFinished, st.Phase)
	require.EqualValues(t, 300, st.Step)
	by := map[string]runs.SwarmWorker{}
	for _, w := range st.Workers {
		by[w.Name] = w
	}
	f, sl := by["fast"], by["slow"]
	require.Positive(t, sl.Steps)
	require.Greater(t, f.Steps, sl.Steps, "the slow one does fewer steps in a round: %d and %d", f.Steps, sl.Steps)
	require.Positive(t, f.Sent)
	require.Positive(t, f.Received)
	require.Equal(t, st.Tokens, 100*(f.Steps+sl.Steps))
	// The pull of both, weighted by their steps, cancels near the weighted mean.
	share := float64(f.Steps) / float64(f.Steps+sl.Steps)
	off, scale := 0.0, 0.0
	for i, w := range fast.weights {
		want := share*float64(fast.target[i]) + (1-share)*float64(slow.target[i])
		off += (float64(w) - want) * (float64(w) - want)
		scale += want * want
	}
	require.Less(t, off, 0.3*scale, "far nearer than at the start, where it is all of it")
}

func status(t testing.TB, s *serving) *runs.Swarm {
	t.Helper()
	c, err := Dial(context.Background(), s.address, s.token, func(string) {})
	require.NoError(t, err)
	defer c.Close()
	st, err := c.Status(context.Background())
	require.NoError(t, err)
	return st
}

// A worker that hangs, and one that vanishes, are left out and named; the others
// continue. The one that hung comes back.
func TestLeftOut(t *testing.T) {
	s := serve(t, ServeOptions{Rules: quickRules(), Dir: t.TempDir()})
	good, gone := newToy(t, "good", 10, 1), newToy(t, "gone", 10, 2)
	good.pause, gone.pause = 4*time.Millisecond, 4*time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- gone.run(ctx, s.address, s.token, 400) }()
	// A hanging worker is one that joins, takes its round, and is silent.
	c, err := Dial(context.Background(), s.address, s.token, func(string) {})
	require.NoError(t, err)
	defer c.Close()
	hung, err := c.NewWorker("hung")
	require.NoError(t, err)
	hung.every = time.Hour
	_, err = hung.Join(context.Background(), newToy(t, "hung", 1, 3).joining(400))
	require.NoError(t, err)
	time.AfterFunc(300*time.Millisecond, cancel)
	together(t, s, 400, good)
	<-ended
	require.True(t, s.log.has("hung: no sign of life"), s.log)
	st := status(t, s)
	require.EqualValues(t, 400, st.Step)
	require.True(t, slices.ContainsFunc(st.Rounds, func(r runs.SwarmRound) bool { return r.Workers == 1 }))
}

// The meeting point is killed with SIGKILL again and again; the workers wait, and the
// swarm ends as if nothing had happened.
func TestMeetingPointIsKilled(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	dir := t.TempDir()
	port := freePort(t)
	start := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0], "-test.run=^TestServeInProcess$")
		cmd.Env = append(os.Environ(), "BITNET_SERVE_DIR="+dir, "BITNET_SERVE_LISTEN=127.0.0.1:"+port)
		out, err := os.OpenFile(filepath.Join(dir, "log"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		require.NoError(t, err)
		cmd.Stdout, cmd.Stderr = out, out
		require.NoError(t, cmd.Start())
		out.Close()
		require.Eventually(t, func() bool {
			c, err := Dial(t.Context(), "127.0.0.1:"+port, "secret", func(string) {})
			if err == nil {
				c.Close()
			}
			return err == nil
		}, 2*time.Minute, 20*time.Millisecond)
		return cmd
	}
	cmd := start()
	s := &serving{address: "127.0.0.1:" + port, token: "secret", log: &lines{}}
	done := make(chan bool)
	a, b := newToy(t, "a", 10, 1), newToy(t, "b", 10, 2)
	a.pause, b.pause = 5*time.Millisecond, 5*time.Millisecond
	go func() {
		defer close(done)
		together(t, s, 300, a, b)
	}()
	kills := 0
	for ended := false; !ended && kills < 6; {
		select {
		case <-done:
			ended = true
		case <-time.After(time.Duration(150+37*kills) * time.Millisecond):
			require.NoError(t, cmd.Process.Kill())
			_ = cmd.Wait()
			kills++
			cmd = start()
		}
	}
	<-done
	require.GreaterOrEqual(t, kills, 3)
	require.Equal(t, a.weights, b.weights)
	st := status(t, s)
	require.EqualValues(t, 300, st.Step)
	require.EqualValues(t, st.Tokens, 100*(st.Workers[0].Steps+st.Workers[1].Steps))
	require.NoError(t, cmd.Process.Kill())
	_ = cmd.Wait()
	// What is left can be served once more, and has the weights of the workers.
	again := serve(t, ServeOptions{Rules: quickRules(), Dir: dir, Token: "secret"})
	late := newToy(t, "late", 10, 3)
	together(t, again, 300, late)
	require.Equal(t, a.weights, late.weights)
}

// TestServeInProcess is the meeting point of TestMeetingPointIsKilled.
func TestServeInProcess(t *testing.T) {
	dir := os.Getenv("BITNET_SERVE_DIR")
	if dir == "" {
		t.Skip("runs only in a process of its own")
	}
	err := Serve(context.Background(), ServeOptions{
		Rules: quickRules(), Dir: dir, Listen: os.Getenv("BITNET_SERVE_LISTEN"), Token: "secret", Log: func(s string) { fmt.Println(s) },
	})
	require.NoError(t, err)
}

// Stopped as it should be and started again, a meeting point continues; workers wait
// meanwhile, and a resumed worker is the same one.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, ServeOptions{Rules: quickRules(), Dir: dir})
	x := newToy(t, "x", 10, 1)
	x.pause = 5 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- x.run(ctx, s.address, s.token, 200) }()
	require.Eventually(t, func() bool { return s.log.has("round 2:") }, 2*time.Minute, 5*time.Millisecond)
	cancel()
	<-ended
	require.NoError(t, s.stop())
	s = serve(t, ServeOptions{Rules: quickRules(), Dir: dir})
	require.True(t, s.log.has("continuing at round"), s.log)
	together(t, s, 200, x)
	st := status(t, s)
	require.Len(t, st.Workers, 1, "the key in the run directory is the same worker")
	require.EqualValues(t, 200, st.Step)
	require.Equal(t, st.Tokens, 100*st.Workers[0].Steps)
}

// A folder serves one meeting point.
func TestFolderIsLocked(t *testing.T) {
	dir := t.TempDir()
	serve(t, ServeOptions{Rules: quickRules(), Dir: dir})
	err := Serve(context.Background(), ServeOptions{Rules: quickRules(), Dir: dir, Listen: "127.0.0.1:0", Log: func(string) {}})
	require.ErrorContains(t, err, "another bitnet swarm serve")
}

// A NATS server of the user's serves as well as the embedded one. Of two meeting
// points of one swarm, the one that would write second finds out, and stops.
func TestOwnServer(t *testing.T) {
	ns, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true, NoLog: true, JetStream: true, StoreDir: t.TempDir(), Authorization: "secret"})
	require.NoError(t, err)
	go ns.Start()
	require.True(t, ns.ReadyForConnections(time.Minute))
	t.Cleanup(func() { ns.Shutdown(); ns.WaitForShutdown() })
	o := ServeOptions{Rules: quickRules(), NATS: "nats://" + ns.Addr().String(), Token: "secret", Name: "own"}
	s := serve(t, o)
	x := newToy(t, "x", 10, 1)
	together(t, s, 50, x)
	require.NoError(t, s.stop())

	o.Name, o.Log = "two", func(string) {}
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	ready, ended := make(chan string, 2), make(chan error, 2)
	o.Ready = func(a Address, _ string) { ready <- a.String() }
	for range 2 {
		go func() { ended <- Serve(ctx, o) }()
	}
	address := <-ready
	<-ready
	go func() { // again, if two answers confuse it before either has written
		for i := 0; ctx.Err() == nil; i++ {
			_ = newToy(t, fmt.Sprintf("y%d", i), 10, 1).run(ctx, address, "secret", 50)
		}
	}()
	require.ErrorIs(t, <-ended, errTaken)
}

func freePort(t testing.TB) string {
	t.Helper()
	s := serve(t, ServeOptions{Rules: quickRules(), Dir: t.TempDir()})
	require.NoError(t, s.stop())
	return s.address[strings.LastIndexByte(s.address, ':')+1:]
}

// In an even swarm a slow worker does as many local steps as a fast one.
func TestEven(t *testing.T) {
	r := quickRules()
	r.Even = true
	s := serve(t, ServeOptions{Rules: r, Dir: t.TempDir()})
	fast, slow := newToy(t, "fast", 10, 1), newToy(t, "slow", 10, 2)
	slow.pause = 4 * time.Millisecond
	ready := make(chan bool)
	go func() {
		defer close(ready)
		together(t, s, 100, slow)
	}()
	require.Eventually(t, func() bool { return s.log.has("founds") }, 2*time.Minute, time.Millisecond)
	together(t, s, 100, fast)
	<-ready
	for _, x := range status(t, s).Workers {
		require.EqualValues(t, 10*x.Rounds, x.Steps, x.Name)
	}
}
