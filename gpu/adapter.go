package gpu

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"bitnet/gpu/driver"
)

// Adapter is one device that can be opened.
type Adapter struct {
	driver.Adapter
	Backend string // name of the driver that found it

	driver driver.Driver
	index  int
}

func (a Adapter) name() string { return a.Name }
func (a Adapter) kind() string { return a.Kind.String() }

// Choose returns the index of the adapter that want describes: an index, or a
// part of a name or kind in any case. "" chooses a discrete GPU, else an integrated
// GPU, else a CPU: of several the first, but one through Vulkan before the same
// through DX12, whose shader compiler is older.
func Choose(adapters []Adapter, want string) (int, error) {
	if len(adapters) == 0 {
		return 0, errNoAdapter(runtime.GOOS)
	}
	if want == "" {
		best := 0
		for i, a := range adapters {
			if b := adapters[best]; a.Kind < b.Kind || a.Kind == b.Kind && a.API == "Vulkan" && b.API == "DX12" {
				best = i
			}
		}
		return best, nil
	}
	if i, err := strconv.Atoi(want); err == nil && i >= 0 && i < len(adapters) {
		return i, nil
	} else if err != nil || i >= 100 { // 3090 is a name, 7 a wrong index
		part := strings.ToLower(want)
		for _, text := range []func(Adapter) string{Adapter.name, Adapter.kind} {
			for i, a := range adapters {
				if strings.Contains(strings.ToLower(text(a)), part) {
					return i, nil
				}
			}
		}
	}
	names := make([]string, len(adapters))
	for i, a := range adapters {
		names[i] = fmt.Sprintf("%d %q", i, a.Name)
	}
	return 0, fmt.Errorf("no adapter is called %q: choose one of %s by its number or a part of its name", want, strings.Join(names, ", "))
}

func errNoAdapter(system string) error {
	switch system {
	case "windows":
		return errors.New("no graphics adapter was found: install your graphics card's driver")
	case "darwin":
		return errors.New("no graphics adapter was found: bitnet needs a Mac with Metal")
	}
	return errors.New("no graphics adapter was found: install your GPU's Vulkan driver, or run gpu/install-vulkan.sh for the one that computes on the CPU (lavapipe)")
}

// Open opens this adapter.
func (a Adapter) Open() (*Device, error) {
	d, err := a.driver.Open(a.index)
	if err != nil {
		return nil, err
	}
	return &Device{adapter: a, driver: d, kernels: map[string]*Kernel{}}, nil
}

// Without returns the adapter as if it did not have some features, which are
// named as for Has.
func (a Adapter) Without(features ...string) Adapter {
	a.Features = slices.DeleteFunc(slices.Clone(a.Features), func(f string) bool { return slices.Contains(features, f) })
	return a
}
