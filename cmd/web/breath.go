package main

import (
	"context"
	"runtime"
	"strings"
	"sync"
	"time"
)

const (
	breathEvery = 50 * time.Millisecond
	breath      = time.Millisecond
)

// breather is a context whose Err lets the event loop of the browser have a turn
// every now and then. WebAssembly runs in one thread, so that a long computation
// would keep the worker from hearing that it is to stop. Computations ask for
// Err often, because that is how they are stopped.
type breather struct {
	context.Context
	mu   sync.Mutex
	last time.Time
}

func breathing(ctx context.Context) context.Context {
	if runtime.GOOS != "js" {
		return ctx
	}
	return &breather{Context: ctx, last: time.Now()}
}

func (b *breather) Err() error {
	if now := time.Now(); b.mu.TryLock() {
		if now.Sub(b.last) > breathEvery {
			time.Sleep(breath)
			b.last = time.Now()
		}
		b.mu.Unlock()
	}
	return b.Context.Err()
}

// oneLine joins the lines of a text.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
