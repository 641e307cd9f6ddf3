package driver

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// registered is filled by init functions and only read after that.
var registered []Driver

// Register makes a driver available to package gpu. A driver's package calls it
// from an init function. It panics if the driver has no name, or shares its
// name, or the role of the default, with another one.
func Register(d Driver) {
	info := d.Info()
	if info.Name == "" {
		panic("gpu/driver: a driver without a name was registered")
	}
	for _, other := range registered {
		switch o := other.Info(); {
		case o.Name == info.Name:
			panic(fmt.Sprintf("gpu/driver: two drivers are called %q", info.Name))
		case o.Default && info.Default:
			panic(fmt.Sprintf("gpu/driver: both %q and %q want to be the default", o.Name, info.Name))
		}
	}
	registered = append(registered, d)
}

// All returns the registered drivers: the default one first, then the others by
// name.
func All() []Driver {
	all := slices.Clone(registered)
	slices.SortFunc(all, func(a, b Driver) int {
		x, y := a.Info(), b.Info()
		return cmp.Or(cmp.Compare(rank(x), rank(y)), strings.Compare(x.Name, y.Name))
	})
	return all
}

func rank(i Info) int {
	if i.Default {
		return 0
	}
	return 1
}
