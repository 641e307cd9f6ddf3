package gpu

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"bitnet/gpu/dawn"
	"bitnet/gpu/driver"
	"bitnet/gpu/wgpu"
)

// Backends are what an adapter can be opened through: "wgpu" in this process,
// "dawn" in a Node.js process (make dawn installs it), or with "auto" what suits
// each adapter: Dawn for a GPU with matrix units where it is installed, else wgpu.
var Backends = []string{"auto", "wgpu", "dawn"}

var (
	inProcess = wgpu.New()
	outside   = dawn.New()
)

// Adapters lists the adapters that the default backend finds: $BITNET_BACKEND,
// else auto.
func Adapters() ([]Adapter, error) { return AdaptersOf("") }

// AdaptersOf lists the adapters that a backend finds; "" is the default one.
// The order, and so the index of an adapter, stays while the machine's drivers do.
func AdaptersOf(backend string) ([]Adapter, error) {
	if backend == "" {
		backend = os.Getenv("BITNET_BACKEND")
	}
	switch backend {
	case "wgpu":
		return list(inProcess)
	case "dawn":
		// First, because it sets what graphics drivers read from the environment.
		known, _ := list(inProcess)
		found, err := list(outside)
		if err != nil {
			return nil, err
		}
		return complete(found, known), nil
	case "", "auto":
		found, err := list(inProcess)
		if err != nil {
			return nil, err
		}
		isGPU := func(a Adapter) bool { return a.Kind != CPU }
		if !slices.ContainsFunc(found, isGPU) || dawn.Installed() != nil {
			return found, nil
		}
		better, err := list(outside)
		if err != nil {
			return found, nil // an adapter that works, even if not the fastest way to it
		}
		return upgrade(found, complete(better, found)), nil
	}
	return nil, fmt.Errorf("no backend is called %q: choose one of %s", backend, strings.Join(Backends, ", "))
}

func list(d driver.Driver) ([]Adapter, error) {
	found, err := d.Adapters()
	if err != nil {
		return nil, fmt.Errorf("list adapters: %w", err)
	}
	var out []Adapter
	for i, a := range found {
		out = append(out, Adapter{a, d.Name(), d, i})
	}
	return out, nil
}

// same finds an adapter among those of another driver.
func same(a Adapter, others []Adapter) (Adapter, bool) {
	i := slices.IndexFunc(others, func(o Adapter) bool { return o.Name == a.Name && o.API == a.API })
	if i < 0 {
		return Adapter{}, false
	}
	return others[i], true
}

// complete adds what only another driver tells of the same adapters.
func complete(found, known []Adapter) []Adapter {
	for i := range found {
		if k, ok := same(found[i], known); ok {
			found[i].Kind, found[i].VendorID, found[i].DeviceID = k.Kind, k.VendorID, k.DeviceID
		}
	}
	return found
}

// upgrade takes the other driver for GPUs whose matrix units it can use. The
// second of two adapters with one name stays: the other driver opens the first.
func upgrade(found, better []Adapter) []Adapter {
	taken := map[string]bool{}
	for i, a := range found {
		b, ok := same(a, better)
		if ok && a.Kind != CPU && len(b.Matrices) > 0 && !taken[a.Name] {
			found[i] = b
		}
		taken[a.Name] = true
	}
	return found
}

// Open opens the adapter that Choose picks for want.
func Open(want string) (*Device, error) { return OpenOn("", want) }

// OpenOn opens the adapter that Choose picks for want among those of a backend.
func OpenOn(backend, want string) (*Device, error) {
	adapters, err := AdaptersOf(backend)
	if err != nil {
		return nil, err
	}
	i, err := Choose(adapters, want)
	if err != nil {
		return nil, err
	}
	return adapters[i].Open()
}
