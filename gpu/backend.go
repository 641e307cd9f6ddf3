package gpu

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"bitnet/gpu/driver"
)

// auto is the backend that picks a driver for each adapter: the default driver,
// or for a GPU with matrix units a driver that can use them, where one is ready.
const auto = "auto"

// Backends lists the names that AdaptersOf takes: "auto", then the drivers of
// this build, the default one first.
func Backends() []string { return drivers(driver.All()).names() }

// BackendList is Backends as text, with what to install first, for help and
// messages.
func BackendList() string { return drivers(driver.All()).String() }

// Adapters lists the adapters that the default backend finds: $BITNET_BACKEND,
// else auto.
func Adapters() ([]Adapter, error) { return AdaptersOf("") }

// AdaptersOf lists the adapters that a backend finds; "" is the default one. The
// order, and so the index of an adapter, is the same at each call as long as the
// machine's graphics drivers are.
func AdaptersOf(backend string) ([]Adapter, error) {
	if backend == "" {
		backend = os.Getenv("BITNET_BACKEND")
	}
	all := drivers(driver.All())
	if backend == "" || backend == auto {
		return all.auto()
	}
	for _, d := range all {
		if d.Info().Name == backend {
			return all.adapters(d)
		}
	}
	return nil, fmt.Errorf("no backend is called %q: choose one of %s", backend, all)
}

// Open opens the adapter that Choose picks for want.
func Open(want string) (*Device, error) {
	adapters, err := Adapters()
	if err != nil {
		return nil, err
	}
	i, err := Choose(adapters, want)
	if err != nil {
		return nil, err
	}
	return adapters[i].Open()
}

// drivers are the drivers to choose from, the default one first.
type drivers []driver.Driver

func (all drivers) names() []string {
	names := []string{auto}
	for _, d := range all {
		names = append(names, d.Info().Name)
	}
	return names
}

func (all drivers) String() string {
	names := all.names()
	for i, d := range all {
		if install := d.Info().Install; install != "" {
			names[i+1] += " (after " + install + ")"
		}
	}
	return strings.Join(names, ", ")
}

// adapters lists the adapters of one driver.
func (all drivers) adapters(d driver.Driver) ([]Adapter, error) {
	if !d.Info().AfterDefault {
		return list(d)
	}
	var known []Adapter
	if all[0].Info().Default {
		known, _ = list(all[0]) // a failure of the default is none of this driver
	}
	found, err := list(d)
	if err != nil {
		return nil, err
	}
	return complete(found, known), nil
}

// auto lists the adapters of the first driver that is ready, and lets others
// take those over that they can use better.
func (all drivers) auto() ([]Adapter, error) {
	first := slices.IndexFunc(all, func(d driver.Driver) bool { return d.Ready() == nil })
	if first < 0 {
		return nil, all.noneReady()
	}
	found, err := list(all[first])
	if err != nil {
		return nil, err
	}
	isGPU := func(a Adapter) bool { return a.Kind != CPU }
	if !all[first].Info().Default || !slices.ContainsFunc(found, isGPU) {
		return found, nil
	}
	for _, d := range all[first+1:] {
		if !d.Info().AfterDefault || d.Ready() != nil {
			continue
		}
		better, err := list(d)
		if err != nil {
			continue // the default driver's adapters work, even if slower
		}
		found = upgrade(found, complete(better, found))
	}
	return found, nil
}

// noneReady says why there is no driver: what the first one lacks, and what to
// install for the others.
func (all drivers) noneReady() error {
	if len(all) == 0 {
		return errors.New("this build has no GPU backend: build bitnet for a system that has one")
	}
	err := all[0].Ready()
	for _, d := range all[1:] {
		if info := d.Info(); info.Install != "" {
			err = fmt.Errorf("%w; or install the backend %s: %s", err, info.Name, info.Install)
		}
	}
	return err
}

func list(d driver.Driver) ([]Adapter, error) {
	found, err := d.Adapters()
	if err != nil {
		return nil, fmt.Errorf("list adapters: %w", err)
	}
	var out []Adapter
	for i, a := range found {
		out = append(out, Adapter{a, d.Info().Name, d, i})
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

// complete fills in what only another driver knows about the same adapters.
func complete(found, known []Adapter) []Adapter {
	for i := range found {
		if k, ok := same(found[i], known); ok {
			found[i].Kind, found[i].VendorID, found[i].DeviceID = k.Kind, k.VendorID, k.DeviceID
		}
	}
	return found
}

// upgrade replaces GPUs by the other driver's where that can use their matrix
// units. Of two adapters with one name it keeps the second: the other driver
// always opens the first.
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
