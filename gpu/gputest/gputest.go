// Package gputest gives tests the adapters of this machine.
package gputest

import (
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/gpu"
)

// Devices opens every adapter of this machine, once in a process.
var Devices = sync.OnceValues(func() ([]*gpu.Device, error) {
	adapters, err := gpu.Adapters()
	if err != nil {
		return nil, err
	}
	var out []*gpu.Device
	for _, a := range adapters {
		d, err := a.Open()
		if err != nil {
			return nil, fmt.Errorf("opening %s: %w", a.Name, err)
		}
		out = append(out, d)
	}
	return out, nil
})

// Every is Devices, of which there is at least one: without any the test is
// skipped, except in CI, where it fails.
func Every(t *testing.T) []*gpu.Device {
	t.Helper()
	all, err := Devices()
	require.NoError(t, err)
	if len(all) == 0 {
		if os.Getenv("CI") != "" {
			t.Fatal("no adapter: run gpu/install-vulkan.sh")
		}
		t.Skip("no adapter: run gpu/install-vulkan.sh")
	}
	return all
}

// OnEvery runs f on every adapter of this machine.
func OnEvery(t *testing.T, f func(t *testing.T, dev *gpu.Device)) {
	for _, dev := range Every(t) {
		t.Run(dev.Adapter().Name, func(t *testing.T) { f(t, dev) })
	}
}

// OnMatrixUnits runs f on every adapter that has matrix units. Where there have
// to be some, as in make test-matrix, BITNET_MATRIX says so.
func OnMatrixUnits(t *testing.T, has func(gpu.Adapter) bool, f func(t *testing.T, dev *gpu.Device)) {
	all, err := Devices()
	require.NoError(t, err)
	found := false
	for _, dev := range all {
		if has(dev.Adapter()) {
			found = true
			t.Run(dev.Adapter().Name, func(t *testing.T) { f(t, dev) })
		}
	}
	if !found {
		if os.Getenv("BITNET_MATRIX") != "" {
			t.Fatal("no adapter with matrix units: look at bitnet devices --backend dawn")
		}
		t.Skip("no adapter with matrix units: make test-matrix brings a software one")
	}
}
