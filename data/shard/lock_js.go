package shard

import (
	"context"
	"sync"
	"time"
)

// lock is held by whoever prepares a folder. A browser has no locks on files, but
// there one program has the files for itself, so that a table of this process is
// enough.
type lock struct {
	dir   string
	holds bool
}

var (
	locksMu sync.Mutex
	locked  = map[string]bool{}
)

func newLock(dir string) *lock { return &lock{dir: dir} }

// TryLockContext takes the lock, and tries again every so often until ctx ends.
func (l *lock) TryLockContext(ctx context.Context, every time.Duration) (bool, error) {
	for {
		if l.take() {
			return true, nil
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-time.After(every):
		}
	}
}

func (l *lock) take() bool {
	locksMu.Lock()
	defer locksMu.Unlock()
	if locked[l.dir] {
		return false
	}
	locked[l.dir], l.holds = true, true
	return true
}

// TryRLock reports whether nobody holds the lock.
func (l *lock) TryRLock() (bool, error) {
	locksMu.Lock()
	defer locksMu.Unlock()
	return !locked[l.dir], nil
}

// Unlock frees the lock.
func (l *lock) Unlock() error {
	locksMu.Lock()
	defer locksMu.Unlock()
	if l.holds {
		delete(locked, l.dir)
		l.holds = false
	}
	return nil
}

// Close is Unlock.
func (l *lock) Close() error { return l.Unlock() }
