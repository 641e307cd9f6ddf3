package main

import (
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"bitnet/bitnet"
	"bitnet/gpu"
)

// backendHelp is the help of --backend, wherever there is one.
var backendHelp = "GPU backend: " + gpu.BackendList() + "; default $BITNET_BACKEND, else auto"

// adapterFlags say what to compute on.
type adapterFlags struct{ name, backend string }

func (f *adapterFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&f.name, "device", "", "adapter by number or part of its name; see bitnet devices")
	fl.StringVar(&f.backend, "backend", "", backendHelp)
}

func (f *adapterFlags) device() bitnet.Device {
	return bitnet.Device{Backend: f.backend, Adapter: f.name}
}

// open opens the adapter that was chosen, and notes which of its features are not used.
func (f *adapterFlags) open(c *cobra.Command) (*gpu.Device, error) { return f.device().Open(noteTo(c)) }

// noteTo writes notes to standard error.
func noteTo(c *cobra.Command) func(string) {
	return func(s string) { fmt.Fprintln(c.ErrOrStderr(), s) }
}
