package runs

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// holdEnv makes the test binary lock a run and wait.
const holdEnv = "BITNET_TEST_HOLD"

func TestMain(m *testing.M) {
	dir := os.Getenv(holdEnv)
	if dir == "" {
		os.Exit(m.Run())
	}
	r, err := Open(dir)
	if err == nil {
		_, err = r.Lock()
	}
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("locked")
	time.Sleep(time.Minute)
}

// hold starts a process that locks a run.
func hold(t *testing.T, r *Run) *exec.Cmd {
	self, err := os.Executable()
	require.NoError(t, err)
	c := exec.Command(self)
	c.Env = append(os.Environ(), holdEnv+"="+r.Dir)
	out, err := c.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, c.Start())
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "locked\n", line)
	return c
}

func TestLock(t *testing.T) {
	r := newRun(t, map[string]string{"config.yaml": config})
	unlock, err := r.Lock()
	require.NoError(t, err)
	a := r.alive()
	require.Equal(t, os.Getpid(), a.PID)
	require.WithinDuration(t, time.Now(), a.Heartbeat, time.Minute)
	require.Equal(t, Running, r.Info().State)
	_, err = r.Lock()
	require.ErrorContains(t, err, "is training")
	unlock()
	unlock()
	require.NoFileExists(t, r.alivePath())
	require.NotEqual(t, Running, r.Info().State)
	unlock, err = r.Lock()
	require.NoError(t, err)
	unlock()
}

// A second process gets one line that names the first; when that is killed, the
// run is free, although nobody has waited for it: a zombie is dead to status
// and to Lock.
func TestLockOfAnotherProcess(t *testing.T) {
	r := newRun(t, map[string]string{"config.yaml": config})
	holder := hold(t, r)
	_, err := r.Lock()
	require.ErrorContains(t, err, fmt.Sprintf("process %d on this machine", holder.Process.Pid))
	require.ErrorContains(t, err, fmt.Sprintf("kill %d", holder.Process.Pid))
	require.NotContains(t, err.Error(), "\n")
	require.Equal(t, holder.Process.Pid, r.alive().PID, "a refused process leaves no trace")
	require.Equal(t, Running, r.Info().State)
	require.NoError(t, holder.Process.Kill())
	var unlock func()
	require.Eventually(t, func() bool { unlock, err = r.Lock(); return err == nil }, 10*time.Second, 10*time.Millisecond)
	unlock()
}

func TestZombieIsDead(t *testing.T) {
	if _, _, ok := processStat(os.Getpid()); !ok {
		t.Skip("no /proc: a zombie cannot be told here")
	}
	r := newRun(t, map[string]string{"config.yaml": config})
	holder := hold(t, r)
	require.NoError(t, holder.Process.Kill())
	require.Eventually(t, func() bool { state, _, _ := processStat(holder.Process.Pid); return state == 'Z' }, 10*time.Second, time.Millisecond)
	require.Equal(t, Crashed, r.Info().State)
	// The system closes a killed process's files a moment later.
	var unlock func()
	var err error
	require.Eventually(t, func() bool { unlock, err = r.Lock(); return err == nil }, 10*time.Second, time.Millisecond)
	unlock()
	_, _, there := processStat(holder.Process.Pid)
	require.True(t, there, "nobody has waited for it")
}

// alive.json may be of a machine, or a container, whose locks do not reach here.
func TestHeartbeat(t *testing.T) {
	now := time.Now()
	here := thisProcess()
	other := here
	other.Host, other.BootID, other.Namespace, other.PID = here.Host+"-other", "another boot", "pid:[1]", 1
	with := func(a Alive, change func(*Alive)) Alive { change(&a); return a }
	for name, row := range map[string]struct {
		a       Alive
		state   Condition
		refused string
	}{
		"another machine":         {with(other, func(a *Alive) { a.Heartbeat = now.Add(-20 * time.Second) }), Running, "stop it there"},
		"silent":                  {with(other, func(a *Alive) { a.Heartbeat = now.Add(-2 * time.Minute) }), Unknown, ""},
		"clock ahead":             {with(other, func(a *Alive) { a.Heartbeat = now.Add(5 * time.Minute) }), Running, "stop it there"},
		"clock far ahead":         {with(other, func(a *Alive) { a.Heartbeat = now.Add(99 * time.Hour) }), Unknown, ""},
		"earlier version":         {with(other, func(a *Alive) { a.Heartbeat = time.Time{} }), Unknown, ""},
		"another container":       {with(here, func(a *Alive) { a.Namespace, a.PID, a.BootID = "pid:[1]", 1<<30, "another boot" }), Running, "stop it there"},
		"restarted":               {with(here, func(a *Alive) { a.BootID, a.Heartbeat = "another boot", now.Add(-2*time.Minute) }), Crashed, ""},
		"restarted a moment ago":  {with(here, func(a *Alive) { a.BootID = "another boot" }), Running, "try again in a minute"},
		"gone":                    {with(here, func(a *Alive) { a.PID = 1 << 30 }), Crashed, ""},
		"this process by another": {with(here, func(a *Alive) { a.StartTicks++ }), Crashed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if here.BootID == "" {
				t.Skip("no /proc")
			}
			text, err := json.Marshal(row.a)
			require.NoError(t, err)
			r := newRun(t, map[string]string{"config.yaml": config, "logs/alive.json": string(text)})
			i := r.Info()
			require.Equal(t, row.state, i.State, i.Why)
			unlock, err := r.Lock()
			if row.refused != "" {
				require.ErrorContains(t, err, row.refused)
				require.NotContains(t, err.Error(), "\n")
				require.Equal(t, row.a.PID, r.alive().PID)
				return
			}
			require.NoError(t, err)
			unlock()
		})
	}
}

// The heartbeat goes on while a run is locked.
func TestBeat(t *testing.T) {
	r := newRun(t, nil)
	a := thisProcess()
	a.Heartbeat = time.Now().Add(-time.Hour)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() { r.beat(a, time.Millisecond, done); close(ended) }()
	require.Eventually(t, func() bool { return time.Since(r.alive().Heartbeat) < time.Minute }, 10*time.Second, time.Millisecond)
	close(done)
	<-ended
}
