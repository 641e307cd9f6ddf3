package main

import (
	"errors"
	"syscall"
)

// isFull reports whether a file could not be written for want of space.
func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) }
