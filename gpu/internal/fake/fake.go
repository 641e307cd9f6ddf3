// Package fake is a driver for tests: one adapter whose kernels, whatever their
// source, add 1 to every 32-bit value of their writable bindings. It shows what
// a new driver takes: this package, and one file that imports it.
package fake

import (
	"encoding/binary"
	"fmt"
	"time"

	"bitnet/gpu/driver"
)

func init() { driver.Register(backend{}) }

type backend struct{}

func (backend) Info() driver.Info { return driver.Info{Name: "fake", Install: "make fake"} }

func (backend) Ready() error { return nil }

func (backend) Adapters() ([]driver.Adapter, error) {
	return []driver.Adapter{{
		Name: "Fake 1", Driver: "1.0", API: "none", Kind: driver.Other,
		Limits: driver.Limits{
			BufferSize: 1 << 20, BindingSize: 1 << 20, OffsetAlignment: 4, StorageBindings: 8,
			WorkgroupMemory: 1 << 10, WorkgroupInvocations: 1, WorkgroupSizeX: 1, WorkgroupsPerDimension: 1,
		},
	}}, nil
}

func (backend) Open(index int) (driver.Device, error) {
	if index != 0 {
		return nil, fmt.Errorf("fake: there is no adapter %d", index)
	}
	return &device{}, nil
}

// device needs no freeing: handles are indices.
type device struct {
	buffers  [][]byte
	kernels  [][]driver.Access
	programs [][]driver.Dispatch
}

func (d *device) CreateBuffer(_ string, size int64) (driver.Buffer, error) {
	d.buffers = append(d.buffers, make([]byte, size))
	return driver.Buffer(len(d.buffers) - 1), nil
}

func (d *device) DestroyBuffer(b driver.Buffer) { d.buffers[b] = nil }

func (d *device) Write(b driver.Buffer, offset int64, data []byte) error {
	copy(d.buffers[b][offset:], data)
	return nil
}

func (d *device) Read(b driver.Buffer, offset int64, dst []byte) error {
	copy(dst, d.buffers[b][offset:])
	return nil
}

func (d *device) CreateKernel(_, _ string, access []driver.Access) (driver.Kernel, error) {
	d.kernels = append(d.kernels, access)
	return driver.Kernel(len(d.kernels) - 1), nil
}

func (d *device) CreateProgram(_ string, dispatches []driver.Dispatch) (driver.Program, error) {
	d.programs = append(d.programs, dispatches)
	return driver.Program(len(d.programs) - 1), nil
}

func (d *device) DestroyProgram(p driver.Program) { d.programs[p] = nil }

func (d *device) Run(p driver.Program) error {
	for _, dispatch := range d.programs[p] {
		for i, access := range d.kernels[dispatch.Kernel] {
			if access == driver.ReadWrite {
				addOne(d.bytes(dispatch.Bindings[i]))
			}
		}
	}
	return nil
}

func (d *device) bytes(b driver.Binding) []byte {
	if b.Size == 0 {
		return d.buffers[b.Buffer][b.Offset:]
	}
	return d.buffers[b.Buffer][b.Offset : b.Offset+b.Size]
}

func addOne(values []byte) {
	for ; len(values) >= 4; values = values[4:] {
		binary.LittleEndian.PutUint32(values, binary.LittleEndian.Uint32(values)+1)
	}
}

func (d *device) Wait() error { return nil }

func (d *device) Time(p driver.Program) ([]time.Duration, error) {
	return make([]time.Duration, len(d.programs[p])), d.Run(p)
}

func (d *device) Close() {}
