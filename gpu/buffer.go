package gpu

import (
	"fmt"

	"bitnet/gpu/driver"
)

// Buffer is memory of a device.
type Buffer struct {
	device   *Device
	id       driver.Buffer
	label    string
	size     int64
	released bool
}

// NewBuffer returns zeroed memory. The size is in bytes, a multiple of 4, and
// at most Limits.BufferSize.
func (d *Device) NewBuffer(label string, size int64) (*Buffer, error) {
	limit := d.adapter.Limits.BufferSize
	switch {
	case size <= 0 || size%4 != 0:
		return nil, fmt.Errorf("buffer %q: a size of %d bytes is not a positive multiple of 4", label, size)
	case size > limit:
		return nil, fmt.Errorf("buffer %q: %d bytes are more than the %d bytes that %s allows in one buffer: split it", label, size, limit, d.adapter.Name)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errClosed
	}
	if total := systemMemory(); d.adapter.Kind == CPU && total > 0 && d.stats.Allocated+size > total {
		return nil, fmt.Errorf("buffer %q: %d bytes on top of %d are more than this machine's memory of %d bytes: %w", label, size, d.stats.Allocated, total, ErrOutOfMemory)
	}
	id, err := d.driver.CreateBuffer(label, size)
	if err != nil {
		return nil, err
	}
	d.stats.Buffers++
	d.stats.Allocated += size
	d.stats.Peak = max(d.stats.Peak, d.stats.Allocated)
	return &Buffer{device: d, id: id, label: label, size: size}, nil
}

// Size is the size in bytes.
func (b *Buffer) Size() int64 { return b.size }

// Label is the name that the buffer was created with.
func (b *Buffer) Label() string { return b.label }

func (b *Buffer) check(doing string, offset int64, n int) error {
	switch {
	case b.device.closed:
		return errClosed
	case b.released:
		return fmt.Errorf("%s buffer %q: it was released", doing, b.label)
	case offset < 0 || offset%4 != 0 || n%4 != 0:
		return fmt.Errorf("%s buffer %q: %d bytes at %d are not multiples of 4", doing, b.label, n, offset)
	case offset+int64(n) > b.size:
		return fmt.Errorf("%s buffer %q: %d bytes at %d go beyond its %d bytes", doing, b.label, n, offset, b.size)
	}
	return nil
}

// Write copies data into the buffer, after the programs that were run before and
// before those that are run later. It does not wait, and data may be reused at
// once. Offset and length are multiples of 4.
func (b *Buffer) Write(offset int64, data []byte) error {
	d := b.device
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := b.check("write to", offset, len(data)); err != nil {
		return err
	}
	d.stats.Writes++
	d.stats.BytesWritten += int64(len(data))
	return d.driver.Write(b.id, offset, data)
}

// Read waits for all programs that were run, then copies from the buffer. Offset
// and length are multiples of 4.
func (b *Buffer) Read(offset int64, dst []byte) error {
	d := b.device
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := b.check("read from", offset, len(dst)); err != nil {
		return err
	}
	d.stats.Reads++
	d.stats.BytesRead += int64(len(dst))
	return d.driver.Read(b.id, offset, dst)
}

// Release frees the memory as soon as no program binds the buffer.
func (b *Buffer) Release() {
	d := b.device
	d.mu.Lock()
	defer d.mu.Unlock()
	if b.released || d.closed {
		return
	}
	b.released = true
	d.driver.DestroyBuffer(b.id)
	d.stats.Buffers--
	d.stats.Allocated -= b.size
}
