//go:build !js

package shard

import (
	"path/filepath"

	"github.com/gofrs/flock"
)

// lock is held by the process that prepares a folder.
type lock = flock.Flock

func newLock(dir string) *lock { return flock.New(filepath.Join(dir, lockName)) }
