//go:build js

package browser

import (
	"encoding/binary"
	"fmt"
	"syscall/js"
	"time"

	"bitnet/gpu/driver"
	"bitnet/gpu/internal/wire"
)

// device is a Device of gpu.js. Its handles are those of gpu.js.
type device struct {
	v       js.Value
	buffers map[driver.Buffer]int64 // sizes
	steps   map[driver.Program]int  // how many dispatches each has
	scratch js.Value                // a Uint8Array for writes
	room    int                     // its length
	closed  bool
}

func (d *device) CreateBuffer(label string, size int64) (driver.Buffer, error) {
	v, err := await(fmt.Sprintf("create buffer %q of %d bytes", label, size), d.v, "buffer", label, size)
	if err != nil {
		return 0, err
	}
	if d.buffers == nil {
		d.buffers = map[driver.Buffer]int64{}
	}
	b := driver.Buffer(v.Int())
	d.buffers[b] = size
	return b, nil
}

func (d *device) DestroyBuffer(b driver.Buffer) {
	delete(d.buffers, b)
	d.v.Call("freeBuffer", int(b))
}

func (d *device) Write(b driver.Buffer, offset int64, data []byte) error {
	return wire.Pieces(offset, data, func(offset int64, piece []byte) error {
		if n := len(piece); n > d.room {
			d.room = max(n, 1<<16)
			d.scratch = js.Global().Get("Uint8Array").New(d.room)
		}
		js.CopyBytesToJS(d.scratch, piece)
		_, err := await("write to a buffer", d.v, "write", int(b), offset, d.scratch.Call("subarray", 0, len(piece)))
		return err
	})
}

func (d *device) Read(b driver.Buffer, offset int64, dst []byte) error {
	return wire.Pieces(offset, dst, func(offset int64, piece []byte) error {
		v, err := await("read from a buffer", d.v, "read", int(b), offset, len(piece))
		if err == nil {
			js.CopyBytesToGo(piece, v)
		}
		return err
	})
}

func (d *device) CreateKernel(label, wgsl string, access []driver.Access) (driver.Kernel, error) {
	if err := wire.CheckSource(wgsl); err != nil {
		return 0, err
	}
	v, err := await(fmt.Sprintf("create kernel %q", label), d.v, "kernel", label, wgsl, wire.Letters(access))
	if err != nil {
		return 0, err
	}
	return driver.Kernel(v.Int()), nil
}

func (d *device) CreateProgram(label string, dispatches []driver.Dispatch) (driver.Program, error) {
	var numbers []float64
	for _, dispatch := range dispatches {
		g := dispatch.Groups
		numbers = append(numbers, float64(dispatch.Kernel), float64(g[0]), float64(g[1]), float64(g[2]), float64(len(dispatch.Bindings)))
		for _, b := range dispatch.Bindings {
			numbers = append(numbers, float64(b.Buffer), float64(b.Offset), float64(wire.Size(b, d.buffers[b.Buffer])))
		}
	}
	v, err := await(fmt.Sprintf("create program %q", label), d.v, "program", float64Array(numbers))
	if err != nil {
		return 0, err
	}
	if d.steps == nil {
		d.steps = map[driver.Program]int{}
	}
	p := driver.Program(v.Int())
	d.steps[p] = len(dispatches)
	return p, nil
}

// float64Array copies numbers to JavaScript at once.
func float64Array(numbers []float64) js.Value {
	bytes := make([]byte, 0, 8*len(numbers))
	for _, x := range numbers {
		bytes, _ = binary.Append(bytes, binary.LittleEndian, x)
	}
	copied := js.Global().Get("Uint8Array").New(len(bytes))
	js.CopyBytesToJS(copied, bytes)
	return js.Global().Get("Float64Array").New(copied.Get("buffer"))
}

func (d *device) DestroyProgram(p driver.Program) {
	delete(d.steps, p)
	d.v.Call("freeProgram", int(p))
}

func (d *device) Run(p driver.Program) error {
	_, err := await("run a program", d.v, "run", int(p))
	return err
}

func (d *device) Wait() error {
	_, err := await("wait for the device", d.v, "wait")
	return err
}

func (d *device) Time(p driver.Program) ([]time.Duration, error) {
	n := d.steps[p]
	if n == 0 {
		return nil, nil
	}
	v, err := await("time a program", d.v, "time", int(p))
	if err != nil {
		return nil, err
	}
	answer := make([]byte, 16*n)
	js.CopyBytesToGo(answer, v)
	return wire.Durations(answer)
}

// Close waits for what runs, so that a result that is still read elsewhere is there,
// and frees the device.
func (d *device) Close() {
	if !d.closed {
		d.closed = true
		_ = d.Wait()
		d.v.Call("close")
	}
}
