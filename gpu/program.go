package gpu

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"bitnet/gpu/driver"
)

// Binding is a range of a buffer; Size 0 means up to its end. Offset is a
// multiple of Limits.OffsetAlignment, the size at most Limits.BindingSize.
type Binding struct {
	Buffer       *Buffer
	Offset, Size int64
}

func (b Binding) end() int64 {
	if b.Size == 0 {
		return b.Buffer.size
	}
	return b.Offset + b.Size
}

// Dispatch runs a kernel once over Groups workgroups, after all dispatches
// before it are done. Bindings are in the order of the kernel's. A dispatch may
// bind several ranges of one buffer, some read and some written, as long as a
// written range overlaps no other.
type Dispatch struct {
	Kernel   *Kernel
	Bindings []Binding
	Groups   [3]uint32
	Label    string // for errors and timings; may be empty
}

func (d Dispatch) name(i int) string {
	label := d.Label
	if label == "" && d.Kernel != nil {
		label = d.Kernel.label
	}
	return fmt.Sprintf("dispatch %d (%s)", i, label)
}

// Program is a list of dispatches over fixed buffers, ready to run.
type Program struct {
	device     *Device
	id         driver.Program
	label      string
	dispatches []Dispatch
	released   bool
}

// NewProgram checks and records dispatches. It may compile variants of kernels,
// so call it before a loop, not in it.
func (d *Device) NewProgram(label string, dispatches []Dispatch) (*Program, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil, errClosed
	}
	recorded := make([]driver.Dispatch, len(dispatches))
	for i, dispatch := range dispatches {
		if err := d.checkDispatch(dispatch); err != nil {
			return nil, fmt.Errorf("program %q: %s: %w", label, dispatch.name(i), err)
		}
		kernel, kept, err := d.variant(dispatch)
		if err != nil {
			return nil, fmt.Errorf("program %q: %s: %w", label, dispatch.name(i), err)
		}
		bindings := make([]driver.Binding, len(kept))
		for j, at := range kept {
			b := dispatch.Bindings[at]
			bindings[j] = driver.Binding{Buffer: b.Buffer.id, Offset: b.Offset, Size: b.end() - b.Offset}
		}
		recorded[i] = driver.Dispatch{Kernel: kernel.id, Bindings: bindings, Groups: dispatch.Groups}
	}
	id, err := d.driver.CreateProgram(label, recorded)
	if err != nil {
		return nil, err
	}
	return &Program{device: d, id: id, label: label, dispatches: slices.Clone(dispatches)}, nil
}

func (d *Device) checkDispatch(dispatch Dispatch) error {
	k := dispatch.Kernel
	switch {
	case k == nil:
		return errors.New("it has no kernel")
	case k.device != d:
		return fmt.Errorf("kernel %q was compiled for another device", k.label)
	case len(dispatch.Bindings) != len(k.access):
		return fmt.Errorf("kernel %q takes %d bindings, not %d", k.label, len(k.access), len(dispatch.Bindings))
	}
	for i, b := range dispatch.Bindings {
		if err := d.checkBinding(b); err != nil {
			return fmt.Errorf("binding %d: %w", i, err)
		}
	}
	for i, b := range dispatch.Bindings {
		for j, other := range dispatch.Bindings[:i] {
			written := k.access[i] == ReadWrite || k.access[j] == ReadWrite
			if written && b.Buffer == other.Buffer && b.Offset < other.end() && other.Offset < b.end() {
				return fmt.Errorf("bindings %d and %d overlap in buffer %q and one is written: bind that range once, as read_write", j, i, b.Buffer.label)
			}
		}
	}
	limit := d.adapter.Limits.WorkgroupsPerDimension
	for _, n := range dispatch.Groups {
		if n == 0 || int64(n) > int64(limit) {
			return fmt.Errorf("%d x %d x %d workgroups are outside 1 to %d in each dimension", dispatch.Groups[0], dispatch.Groups[1], dispatch.Groups[2], limit)
		}
	}
	return nil
}

func (d *Device) checkBinding(b Binding) error {
	limits := d.adapter.Limits
	switch {
	case b.Buffer == nil:
		return errors.New("it has no buffer")
	case b.Buffer.device != d:
		return fmt.Errorf("buffer %q belongs to another device", b.Buffer.label)
	case b.Buffer.released:
		return fmt.Errorf("buffer %q was released", b.Buffer.label)
	}
	label, size := b.Buffer.label, b.end()-b.Offset
	switch {
	case b.Offset < 0 || b.Offset%limits.OffsetAlignment != 0:
		return fmt.Errorf("offset %d in buffer %q is not a multiple of %d", b.Offset, label, limits.OffsetAlignment)
	case b.Size < 0 || size <= 0 || size%4 != 0:
		return fmt.Errorf("a size of %d bytes in buffer %q is not a positive multiple of 4", size, label)
	case b.end() > b.Buffer.size:
		return fmt.Errorf("%d bytes at %d go beyond the %d bytes of buffer %q", size, b.Offset, b.Buffer.size, label)
	case size > limits.BindingSize:
		return fmt.Errorf("%d bytes of buffer %q are more than the %d bytes that %s allows in one binding: split it", size, label, limits.BindingSize, d.adapter.Name)
	}
	return nil
}

// Dispatches returns the recorded dispatches; do not change them.
func (p *Program) Dispatches() []Dispatch { return p.dispatches }

// Label is the name that the program was created with.
func (p *Program) Label() string { return p.label }

func (p *Program) check() error {
	switch {
	case p.device.closed:
		return errClosed
	case p.released:
		return fmt.Errorf("program %q was released", p.label)
	}
	return nil
}

// Run starts the program and returns before it is done. It waits only while two
// earlier runs are unfinished.
func (p *Program) Run() error {
	d := p.device
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := p.check(); err != nil {
		return err
	}
	d.stats.Runs++
	d.stats.Dispatches += int64(len(p.dispatches))
	return d.driver.Run(p.id)
}

// Time runs the program once and returns how long each dispatch took, in
// order. The error is ErrNoTimestamps where the adapter has none. A CPU adapter
// finishes all work at each timestamp, which adds about 0.1 ms to each dispatch;
// to compare small kernels there, run a program many times and Wait.
func (p *Program) Time() ([]time.Duration, error) {
	d := p.device
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := p.check(); err != nil {
		return nil, err
	}
	if !d.adapter.Has(TimestampQuery) {
		return nil, ErrNoTimestamps
	}
	d.stats.Runs++
	d.stats.Dispatches += int64(len(p.dispatches))
	return d.driver.Time(p.id)
}

// Release frees the program; runs that were started still finish.
func (p *Program) Release() {
	d := p.device
	d.mu.Lock()
	defer d.mu.Unlock()
	if p.released || d.closed {
		return
	}
	p.released = true
	d.driver.DestroyProgram(p.id)
}
