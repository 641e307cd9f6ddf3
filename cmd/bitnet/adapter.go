package main

import (
	"github.com/spf13/pflag"

	"bitnet/gpu"
)

// backendHelp is the help of --backend, wherever there is one.
const backendHelp = "what reaches the adapter: auto, wgpu, or dawn after make dawn (default $BITNET_BACKEND, else auto)"

// adapterFlags say what to compute on.
type adapterFlags struct{ device, backend string }

func (f *adapterFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&f.device, "device", "", "adapter by number or part of its name; see bitnet devices")
	fl.StringVar(&f.backend, "backend", "", backendHelp)
}

func (f *adapterFlags) choose() (gpu.Adapter, error) {
	all, err := gpu.AdaptersOf(f.backend)
	if err != nil {
		return gpu.Adapter{}, err
	}
	i, err := gpu.Choose(all, f.device)
	if err != nil {
		return gpu.Adapter{}, err
	}
	return all[i], nil
}

func (f *adapterFlags) open() (*gpu.Device, error) {
	a, err := f.choose()
	if err != nil {
		return nil, err
	}
	return a.Open()
}
