package gpu

import (
	"sync"

	"bitnet/gpu/driver"
)

// Device is an open adapter. Several goroutines may use it and what it creates;
// calls run one at a time.
type Device struct {
	adapter Adapter

	mu      sync.Mutex
	driver  driver.Device
	closed  bool
	kernels map[string]*Kernel
	stats   Stats
}

// Stats counts what a device has done since it was opened.
type Stats struct {
	Runs         int64 // of programs
	Dispatches   int64 // in those runs
	Reads        int64 // of buffers
	Writes       int64 // of buffers
	BytesRead    int64
	BytesWritten int64
	Compiled     int64 // kernels
	Buffers      int64 // alive now
	Allocated    int64 // bytes of the buffers alive now
	Peak         int64 // the most that Allocated has been
}

// Adapter is the adapter that was opened.
func (d *Device) Adapter() Adapter { return d.adapter }

// Stats returns the counts so far.
func (d *Device) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stats
}

// Wait blocks until all programs that were run are done.
func (d *Device) Wait() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return errClosed
	}
	return d.driver.Wait()
}

// Close waits for programs that still run and frees all that was created on the
// device.
func (d *Device) Close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.closed {
		d.closed = true
		d.driver.Close()
	}
}
