//go:build js

package browser

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"syscall/js"
	"time"
	"unicode/utf8"

	"bitnet/gpu/driver"
)

// transfer is the largest number of bytes of one write or read, of which
// JavaScript holds a copy.
const transfer = 16 << 20

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
	for len(data) > 0 {
		n := min(len(data), transfer)
		if n > d.room {
			d.room = max(n, 1<<16)
			d.scratch = js.Global().Get("Uint8Array").New(d.room)
		}
		js.CopyBytesToJS(d.scratch, data[:n])
		if _, err := await("write to a buffer", d.v, "write", int(b), offset, d.scratch.Call("subarray", 0, n)); err != nil {
			return err
		}
		offset += int64(n)
		data = data[n:]
	}
	return nil
}

func (d *device) Read(b driver.Buffer, offset int64, dst []byte) error {
	for len(dst) > 0 {
		n := min(len(dst), transfer)
		v, err := await("read from a buffer", d.v, "read", int(b), offset, n)
		if err != nil {
			return err
		}
		js.CopyBytesToGo(dst[:n], v)
		offset += int64(n)
		dst = dst[n:]
	}
	return nil
}

func (d *device) CreateKernel(label, wgsl string, access []driver.Access) (driver.Kernel, error) {
	if !utf8.ValidString(wgsl) || strings.ContainsRune(wgsl, 0) {
		return 0, &driver.CompileError{Message: "the source is not valid UTF-8 text"}
	}
	var letters strings.Builder
	for _, a := range access {
		letters.WriteByte("rw"[a])
	}
	v, err := await(fmt.Sprintf("create kernel %q", label), d.v, "kernel", label, wgsl, letters.String())
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
			size := b.Size
			if size == 0 {
				size = d.buffers[b.Buffer] - b.Offset
			}
			numbers = append(numbers, float64(b.Buffer), float64(b.Offset), float64(size))
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
	times := make([]time.Duration, n)
	for i := range times {
		before, after := binary.LittleEndian.Uint64(answer[16*i:]), binary.LittleEndian.Uint64(answer[16*i+8:])
		if after < before {
			return nil, errors.New("time a program: the adapter's clock ran backwards: time the whole program instead")
		}
		times[i] = time.Duration(after - before)
	}
	return times, nil
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
