package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"

	"bitnet/bitnet"
	"bitnet/gpu"
)

// sendReady tells the page that requests are taken.
func (w *worker) sendReady(version string) {
	r := Ready{Version: version}
	var err error
	if r.Storage, err = w.storage(); err != nil {
		r.Storage.Kind = "opfs"
	}
	if a, err := findAdapter(); err == nil {
		r.Adapter = &a
	} else {
		r.Problem = inBrowser(err)
	}
	w.tell("ready", r)
}

// tell sends news of the worker.
func (w *worker) tell(event string, fields any) {
	m := map[string]any{}
	text, err := json.Marshal(fields)
	if err == nil {
		err = json.Unmarshal(text, &m)
	}
	if err != nil {
		panic(err) // plain values only
	}
	m["event"] = event
	w.send(m)
}

func describeAdapter(context.Context, *call) (any, error) { return findAdapter() }

// findAdapter describes the adapter that everything is computed on.
func findAdapter() (Adapter, error) {
	a, err := (bitnet.Device{}).Choose()
	if err != nil {
		return Adapter{}, noAdapter(err)
	}
	out := Adapter{
		Name: a.Name, Driver: a.Driver, Kind: a.Kind.String(), Features: a.Features,
		Subgroups: [2]int{a.SubgroupMin, a.SubgroupMax}, Matrices: []string{},
	}
	for _, m := range a.Matrices {
		out.Matrices = append(out.Matrices, fmt.Sprintf("%dx%dx%d %s to %s", m.M, m.N, m.K, m.Component, m.Result))
	}
	mib := func(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }
	l := a.Limits
	out.Limits = [][]string{
		{"buffer", mib(l.BufferSize)}, {"binding", mib(l.BindingSize)}, {"bindings of a kernel", fmt.Sprint(l.StorageBindings)},
		{"workgroup memory", fmt.Sprintf("%d KiB", l.WorkgroupMemory>>10)}, {"workgroup size", fmt.Sprint(l.WorkgroupInvocations)},
	}
	return out, nil
}

// noAdapter replaces the advice of the program in a terminal.
func noAdapter(err error) error {
	if found, e := gpu.Adapters(); e == nil && len(found) == 0 {
		return errors.New("this browser has WebGPU, but offers no GPU: switch on hardware acceleration in its settings, or try Chrome with chrome://flags/#enable-unsafe-webgpu")
	}
	return err
}

// use is the device that play, talk and measurements share; a training has its own.
type use struct {
	mu    sync.Mutex
	dev   *gpu.Device
	model *opened
}

// device opens the device, or gives the one that is open.
func (w *worker) device(note func(string)) (*gpu.Device, error) {
	if w.use.dev != nil {
		return w.use.dev, nil
	}
	dev, err := bitnet.Device{}.Open(note)
	if err != nil {
		return nil, noAdapter(err)
	}
	w.use.dev = dev
	return dev, nil
}

// forget closes the device after an error that may have come from it, so that the
// next request starts again.
func (w *worker) forget() {
	if w.use.dev != nil {
		w.use.dev.Close()
	}
	w.use.dev, w.use.model = nil, nil
}

// onDevice does something with the device. Where that is lost meanwhile, it is
// opened again and do is called a second time, unless again says that the page has
// heard too much already.
func (w *worker) onDevice(note func(string), again func() bool, do func(dev *gpu.Device) error) error {
	w.use.mu.Lock()
	defer w.use.mu.Unlock()
	for attempt := 0; ; attempt++ {
		dev, err := w.device(note)
		if err != nil {
			return err
		}
		err = do(dev)
		if err == nil || !errors.Is(err, gpu.ErrDeviceLost) && !errors.Is(err, gpu.ErrOutOfMemory) {
			return err
		}
		w.forget()
		if attempt > 0 || !errors.Is(err, gpu.ErrDeviceLost) || !again() {
			return err
		}
	}
}
