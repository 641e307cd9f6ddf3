package dawn

import (
	"encoding/json"
	"fmt"
	"time"

	"bitnet/gpu/driver"
	"bitnet/gpu/internal/wire"
)

type device struct {
	p        *process
	buffers  []int64 // sizes
	kernels  uint32
	programs []int // how many dispatches each has
}

func open(a adapter) (driver.Device, error) {
	p, err := start()
	if err != nil {
		return nil, err
	}
	want := struct {
		Backend string `json:"backend"`
		Name    string `json:"name"`
		Chunk   int    `json:"chunk"`
	}{a.Backend, a.Name, submissionSize(a.kind())}
	d := &device{p: p}
	if err := d.send("open "+a.Name, message{op: opOpen}, want); err != nil {
		p.close()
		return nil, err
	}
	return d, nil
}

// submissionSize is the number of dispatches in one submission. It limits how
// long a submission takes, because systems reset a GPU that does not answer and a
// display may share it.
func submissionSize(k driver.Kind) int {
	if k == driver.Discrete {
		return 1024
	}
	return 256
}

// send sends a message that the child confirms.
func (d *device) send(doing string, m message, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	_, err = d.p.ask(doing, m, data, nil)
	return err
}

func (d *device) CreateBuffer(label string, size int64) (driver.Buffer, error) {
	id := uint32(len(d.buffers))
	what := struct {
		Label string `json:"label"`
		Size  int64  `json:"size"`
	}{label, size}
	if err := d.send(fmt.Sprintf("create buffer %q of %d bytes", label, size), message{op: opBuffer, id: id}, what); err != nil {
		return 0, err
	}
	d.buffers = append(d.buffers, size)
	return driver.Buffer(id), nil
}

// DestroyBuffer does not wait: the child reports a fault with its next answer.
func (d *device) DestroyBuffer(b driver.Buffer) {
	_ = d.p.tell("destroy a buffer", message{op: opFreeBuffer, id: uint32(b)}, nil)
}

func (d *device) DestroyProgram(p driver.Program) {
	_ = d.p.tell("destroy a program", message{op: opFreeProgram, id: uint32(p)}, nil)
}

func (d *device) Write(b driver.Buffer, offset int64, data []byte) error {
	return wire.Pieces(offset, data, func(offset int64, piece []byte) error {
		return d.p.tell("write to a buffer", message{op: opWrite, id: uint32(b), offset: uint64(offset)}, piece)
	})
}

func (d *device) Read(b driver.Buffer, offset int64, dst []byte) error {
	return wire.Pieces(offset, dst, func(offset int64, piece []byte) error {
		m := message{op: opRead, id: uint32(b), offset: uint64(offset), count: uint32(len(piece))}
		_, err := d.p.ask("read from a buffer", m, nil, piece)
		return err
	})
}

func (d *device) CreateKernel(label, wgsl string, access []driver.Access) (driver.Kernel, error) {
	if err := wire.CheckSource(wgsl); err != nil {
		return 0, err
	}
	what := struct {
		Label  string `json:"label"`
		Code   string `json:"code"`
		Access string `json:"access"`
	}{label, wgsl, wire.Letters(access)}
	if err := d.send(fmt.Sprintf("create kernel %q", label), message{op: opKernel, id: d.kernels}, what); err != nil {
		return 0, err
	}
	d.kernels++
	return driver.Kernel(d.kernels - 1), nil
}

func (d *device) CreateProgram(label string, dispatches []driver.Dispatch) (driver.Program, error) {
	type recorded struct {
		Kernel   driver.Kernel `json:"k"`
		Bindings [][3]int64    `json:"b"`
		Groups   [3]uint32     `json:"g"`
	}
	all := make([]recorded, len(dispatches))
	for i, dispatch := range dispatches {
		bindings := make([][3]int64, len(dispatch.Bindings))
		for j, b := range dispatch.Bindings {
			bindings[j] = [3]int64{int64(b.Buffer), b.Offset, wire.Size(b, d.buffers[b.Buffer])}
		}
		all[i] = recorded{dispatch.Kernel, bindings, dispatch.Groups}
	}
	id := uint32(len(d.programs))
	if err := d.send(fmt.Sprintf("create program %q", label), message{op: opProgram, id: id}, all); err != nil {
		return 0, err
	}
	d.programs = append(d.programs, len(dispatches))
	return driver.Program(id), nil
}

func (d *device) Run(p driver.Program) error {
	_, err := d.p.ask("run a program", message{op: opRun, id: uint32(p)}, nil, nil)
	return err
}

func (d *device) Wait() error {
	_, err := d.p.ask("wait for the device", message{op: opWait}, nil, nil)
	return err
}

func (d *device) Time(p driver.Program) ([]time.Duration, error) {
	if d.programs[p] == 0 {
		return nil, nil
	}
	answer, err := d.p.ask("time a program", message{op: opTime, id: uint32(p)}, nil, nil)
	if err != nil {
		return nil, err
	}
	return wire.Durations(answer)
}

func (d *device) Close() { d.p.close() }
