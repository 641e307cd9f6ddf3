//go:build cgo

package wgpu

// #cgo noescape bn_run
// #cgo nocallback bn_run
// #cgo noescape bn_write
// #cgo nocallback bn_write
// #cgo noescape bn_read
// #cgo nocallback bn_read
// #cgo noescape bn_wait
// #cgo nocallback bn_wait
// #include <stdlib.h>
// #include "shim.h"
import "C"

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
	"unsafe"

	"bitnet/gpu/driver"
)

type device struct {
	c   *C.bn_device
	cpu bool
	// chunk is the number of dispatches in one submission.
	chunk    C.size_t
	buffers  []buffer
	kernels  []C.bn_kernel
	programs []*C.bn_program
	// nanoseconds is the length of a tick of the adapter's clock, once known.
	nanoseconds float64
}

type buffer struct {
	handle unsafe.Pointer
	size   int64
}

// opened counts the open devices of this process: lavapipe's memory may be moved only while
// one device, which is idle, is all that could use it.
var opened struct {
	sync.Mutex
	n int
}

func open(a *C.bn_adapter) (driver.Device, error) {
	opened.Lock()
	defer opened.Unlock()
	var message [1024]C.char
	c := C.bn_open(a, &message[0], C.size_t(len(message)))
	if c == nil {
		return nil, fmt.Errorf("open %s: %s", C.GoString(&a.name[0]), oneLine(C.GoString(&message[0])))
	}
	opened.n++
	k := kind(int(a._type))
	return &device{c: c, cpu: k == driver.CPU, chunk: submissionSize(k)}, nil
}

// submissionSize is the number of dispatches in one submission. It limits how
// long a submission takes, because systems reset a GPU that does not answer and a
// display may share it. On lavapipe a submission costs about 40 us, and starting
// one waits for the one before it.
func submissionSize(k driver.Kind) C.size_t {
	if k == driver.Discrete {
		return 1024
	}
	return 256
}

func (d *device) check(doing string, result C.int) error {
	if result == C.BN_OK {
		return nil
	}
	message := oneLine(C.GoString(&d.c.message[0]))
	switch result {
	case C.BN_OUT_OF_MEMORY:
		return fmt.Errorf("%s: %w", doing, driver.ErrOutOfMemory)
	case C.BN_LOST:
		return fmt.Errorf("%s: %w (%s)", doing, driver.ErrDeviceLost, message)
	}
	return fmt.Errorf("%s: %s", doing, message)
}

func (d *device) Close() {
	if d.c == nil {
		return
	}
	for i := range d.programs {
		d.DestroyProgram(driver.Program(i))
	}
	for i := range d.kernels {
		C.bn_kernel_free(d.c, &d.kernels[i])
	}
	for i := range d.buffers {
		d.DestroyBuffer(driver.Buffer(i))
	}
	closed := C.bn_close(d.c) == C.BN_OK
	d.c = nil
	if closed { // whatever a lost device still does, it may do for good
		opened.Lock()
		opened.n--
		opened.Unlock()
	}
}

func cString(s string) *C.char {
	return C.CString(strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", ""), ""))
}

func (d *device) CreateBuffer(label string, size int64) (driver.Buffer, error) {
	name := cString(label)
	defer C.free(unsafe.Pointer(name))
	var handle unsafe.Pointer
	if err := d.check(fmt.Sprintf("create buffer %q of %d bytes", label, size), C.bn_buffer_new(d.c, name, C.uint64_t(size), &handle)); err != nil {
		return 0, err
	}
	d.buffers = append(d.buffers, buffer{handle, size})
	if d.cpu && size >= hugeFrom {
		if err := d.useHugePages(); err != nil {
			return 0, err
		}
	}
	return driver.Buffer(len(d.buffers) - 1), nil
}

// hugeFrom is the size in bytes from which a new buffer asks for huge pages.
const hugeFrom = 2 << 20

// useHugePages moves the buffers so far into huge pages, if no other device could use
// lavapipe's memory meanwhile. BITNET_HUGE_PAGES=off forbids it.
func (d *device) useHugePages() error {
	if os.Getenv("BITNET_HUGE_PAGES") == "off" {
		return nil
	}
	opened.Lock()
	defer opened.Unlock()
	if opened.n > 1 {
		return nil
	}
	if err := d.Wait(); err != nil {
		return err
	}
	_ = toHugePages(lavapipeFile) // without them, all works, only slower
	return nil
}

func (d *device) DestroyBuffer(b driver.Buffer) {
	C.bn_buffer_free(d.c, d.buffers[b].handle)
	d.buffers[b] = buffer{}
}

func (d *device) Write(b driver.Buffer, offset int64, data []byte) error {
	if len(data) == 0 {
		return nil
	}
	result := C.bn_write(d.c, d.buffers[b].handle, C.uint64_t(offset), (*C.uint8_t)(unsafe.SliceData(data)), C.size_t(len(data)))
	return d.check("write to a buffer", result)
}

func (d *device) Read(b driver.Buffer, offset int64, dst []byte) error {
	if len(dst) == 0 {
		return nil
	}
	result := C.bn_read(d.c, d.buffers[b].handle, C.uint64_t(offset), (*C.uint8_t)(unsafe.SliceData(dst)), C.size_t(len(dst)))
	return d.check("read from a buffer", result)
}

func (d *device) CreateKernel(label, wgsl string, access []driver.Access) (driver.Kernel, error) {
	if !utf8.ValidString(wgsl) || strings.ContainsRune(wgsl, 0) {
		return 0, &driver.CompileError{Message: "the source is not valid UTF-8 text"}
	}
	name, source := cString(label), C.CString(wgsl)
	defer C.free(unsafe.Pointer(name))
	defer C.free(unsafe.Pointer(source))
	writable := make([]C.uint8_t, max(len(access), 1))
	for i, a := range access {
		if a == driver.ReadWrite {
			writable[i] = 1
		}
	}
	var kernel C.bn_kernel
	result := C.bn_kernel_new(d.c, name, source, &writable[0], C.size_t(len(access)), &kernel)
	if result == C.BN_INVALID {
		return 0, compileError(C.GoString(&d.c.message[0]))
	}
	if err := d.check(fmt.Sprintf("create kernel %q", label), result); err != nil {
		return 0, err
	}
	d.kernels = append(d.kernels, kernel)
	return driver.Kernel(len(d.kernels) - 1), nil
}

func (d *device) CreateProgram(label string, dispatches []driver.Dispatch) (driver.Program, error) {
	p := C.bn_program_new(C.size_t(len(dispatches)))
	if p == nil {
		return 0, fmt.Errorf("create program %q: %w", label, driver.ErrOutOfMemory)
	}
	for i, dispatch := range dispatches {
		bindings := make([]C.bn_binding, max(len(dispatch.Bindings), 1))
		for j, b := range dispatch.Bindings {
			size := b.Size
			if size == 0 {
				size = d.buffers[b.Buffer].size - b.Offset
			}
			bindings[j] = C.bn_binding{d.buffers[b.Buffer].handle, C.uint64_t(b.Offset), C.uint64_t(size)}
		}
		groups := [3]C.uint32_t{C.uint32_t(dispatch.Groups[0]), C.uint32_t(dispatch.Groups[1]), C.uint32_t(dispatch.Groups[2])}
		result := C.bn_program_set(d.c, p, C.size_t(i), &d.kernels[dispatch.Kernel], &bindings[0], C.size_t(len(dispatch.Bindings)), &groups[0])
		if err := d.check(fmt.Sprintf("create program %q: dispatch %d", label, i), result); err != nil {
			C.bn_program_free(d.c, p)
			return 0, err
		}
	}
	d.programs = append(d.programs, p)
	return driver.Program(len(d.programs) - 1), nil
}

func (d *device) DestroyProgram(p driver.Program) {
	if d.programs[p] != nil {
		C.bn_program_free(d.c, d.programs[p])
		d.programs[p] = nil
	}
}

func (d *device) Run(p driver.Program) error {
	return d.check("run a program", C.bn_run(d.c, d.programs[p], d.chunk))
}

func (d *device) Wait() error { return d.check("wait for the device", C.bn_wait(d.c)) }

func (d *device) Time(p driver.Program) ([]time.Duration, error) {
	n := int(d.programs[p].count)
	if n == 0 {
		return nil, nil
	}
	if err := d.calibrate(); err != nil {
		return nil, err
	}
	ticks := make([]C.uint64_t, 2*n)
	if err := d.check("time a program", C.bn_time(d.c, d.programs[p], d.chunk, &ticks[0])); err != nil {
		return nil, err
	}
	times := make([]time.Duration, n)
	for i := range times {
		before, after := ticks[2*i], ticks[2*i+1]
		if after < before {
			return nil, errors.New("time a program: the adapter's clock ran backwards: time the whole program instead")
		}
		times[i] = time.Duration(float64(after-before) * d.nanoseconds)
	}
	return times, nil
}

// calibrate measures the length of a tick of the adapter's clock, which the C
// interface does not report (1 ns on NVIDIA and lavapipe, 10 ns on AMD, 52 or
// 83 ns on Intel). The result is within a few percent; a tick of 1 ns is exact.
func (d *device) calibrate() error {
	if d.nanoseconds != 0 {
		return nil
	}
	const (
		span   = 100 * time.Millisecond
		tries  = 5
		enough = span / 25
	)
	// The first reading sets things up and takes longer.
	if _, _, _, err := d.tick(); err != nil {
		return err
	}
	var shortest, longest time.Duration
	var ticks uint64
	for range tries {
		first, before0, after0, err := d.tick()
		if err != nil {
			return err
		}
		time.Sleep(span)
		last, before1, after1, err := d.tick()
		if err != nil {
			return err
		}
		if last <= first {
			return errors.New("read the adapter's clock: it does not advance: time whole runs instead")
		}
		least, most := before1.Sub(after0), after1.Sub(before0)
		if ticks == 0 || most-least < longest-shortest {
			shortest, longest, ticks = least, most, last-first
		}
		if longest-shortest < enough {
			break
		}
	}
	d.nanoseconds = float64(shortest+longest) / 2 / float64(ticks)
	if nanoseconds := time.Duration(ticks); shortest <= nanoseconds && nanoseconds <= longest {
		d.nanoseconds = 1
	}
	return nil
}

// tick reads the adapter's clock some time between before and after.
func (d *device) tick() (ticks uint64, before, after time.Time, err error) {
	var now C.uint64_t
	before = time.Now()
	err = d.check("read the adapter's clock", C.bn_tick(d.c, &now))
	return uint64(now), before, time.Now(), err
}
