package runs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"bitnet/data/printable"
)

// Lock makes this process the only one that trains the run, until it calls
// unlock or ends. It writes alive.json and keeps it fresh. Take it before the
// run's files are read for training.
//
// Processes of one machine are told apart by a lock on a file. A file system of
// a network may not pass locks on to other machines, so that there the time in
// alive.json decides.
func (r *Run) Lock() (unlock func(), err error) {
	dir := printable.String(r.Dir)
	if err := os.MkdirAll(filepath.Dir(r.alivePath()), 0o755); err != nil {
		return nil, fmt.Errorf("locking the run %s: %w", dir, err)
	}
	file := flock.New(filepath.Join(r.Dir, "logs", ".lock"))
	locked, err := file.TryLock()
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return nil, fmt.Errorf("locking the run %s: %w", dir, err)
	}
	held := err == nil && !locked
	holder := r.alive()
	here := thisProcess()
	switch {
	case held && (holder.PID <= 0 || holder.life(time.Now()) == gone): // it has not written its own alive.json yet
		return nil, fmt.Errorf("another process is starting to train %s: wait until it ends", dir)
	case held && (holder.Host != here.Host || holder.Namespace != "" && holder.Namespace != here.Namespace):
		return nil, fmt.Errorf("process %d on %s is training %s: wait until it ends, or stop it there", holder.PID, printable.String(holder.Host), dir)
	case held:
		return nil, fmt.Errorf("process %d on this machine (%s) is training %s: wait until it ends, or stop it with Ctrl-C or kill %d", holder.PID, printable.String(holder.Host), dir, holder.PID)
	}
	// Whoever shares this machine's kernel would hold the lock.
	alone := locked && holder.BootID == here.BootID && (here.BootID != "" || holder.Host == here.Host)
	if !alone && holder.life(time.Now()) == lives {
		_ = file.Close()
		where := "on " + printable.String(holder.Host)
		if holder.Heartbeat.IsZero() {
			return nil, fmt.Errorf("process %d %s is training %s: wait until it ends, or stop it", holder.PID, where, dir)
		}
		return nil, fmt.Errorf("process %d %s is training %s (last sign of life %s ago): stop it there; if it is gone already, try again in a minute",
			holder.PID, where, dir, ago(time.Since(holder.Heartbeat)))
	}
	if err := r.writeAlive(here); err != nil {
		_ = file.Close()
		return nil, err
	}
	done := make(chan struct{})
	var beating sync.WaitGroup
	beating.Go(func() { r.beat(here, heartbeat, done) })
	var once sync.Once
	return func() {
		once.Do(func() {
			close(done)
			beating.Wait()
			os.Remove(r.alivePath())
			_ = file.Close()
		})
	}, nil
}

// beat keeps alive.json fresh until done is closed.
func (r *Run) beat(a Alive, every time.Duration, done <-chan struct{}) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-done:
			return
		case now := <-ticker.C:
			a.Heartbeat = now.UTC().Truncate(time.Second)
			_ = r.writeAlive(a) // a full disk must not end training; the next beat tries again
		}
	}
}
