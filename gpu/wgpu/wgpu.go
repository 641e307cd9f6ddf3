//go:build cgo

// Package wgpu drives Vulkan, Metal and DX12 adapters through wgpu-native, in
// the same process. It registers itself as the default driver.
//
// wgpu-native 0.19 compiles baseline WGSL: f32, i32 and u32, without f16,
// subgroups or packed dot products. It zeroes workgroup memory when a kernel
// starts and lets the Vulkan driver check the bounds of storage accesses; its C
// interface has no switch for either.
package wgpu

// #include "shim.h"
import "C"

import (
	"fmt"
	"math"
	"sync"

	_ "github.com/cogentcore/webgpu/wgpu" // links wgpu-native

	"bitnet/gpu/driver"
)

func init() { driver.Register(&backend{}) }

// backend lists the adapters of this machine once and opens them. It loads
// nothing before Adapters or Open is called.
type backend struct {
	once     sync.Once
	adapters []C.bn_adapter
}

func (*backend) Info() driver.Info { return info }

func (*backend) Ready() error { return nil }

func (d *backend) list() []C.bn_adapter {
	d.once.Do(func() {
		setEnvironment()
		found := make([]C.bn_adapter, 64)
		n := C.bn_adapters(&found[0], C.size_t(len(found)))
		d.adapters = found[:n]
		for i := range d.adapters {
			checkTable(&d.adapters[i])
		}
	})
	return d.adapters
}

// Adapters lists what the Vulkan loader, Metal or DX12 offers, in its order.
func (d *backend) Adapters() ([]driver.Adapter, error) {
	var out []driver.Adapter
	for i := range d.list() {
		out = append(out, describe(&d.adapters[i]))
	}
	return out, nil
}

func describe(a *C.bn_adapter) driver.Adapter {
	out := driver.Adapter{
		Name:     C.GoString(&a.name[0]),
		Driver:   C.GoString(&a.driver[0]),
		API:      api(int(a.backend)),
		Kind:     kind(int(a._type)),
		VendorID: uint32(a.vendor_id),
		DeviceID: uint32(a.device_id),
		Limits: driver.Limits{
			BufferSize:             clamp(uint64(a.buffer_size)),
			BindingSize:            clamp(uint64(a.binding_size)),
			OffsetAlignment:        max(int64(a.alignment), 4),
			StorageBindings:        int(a.storage_buffers),
			WorkgroupMemory:        int(a.workgroup_memory),
			WorkgroupInvocations:   int(a.workgroup_invocations),
			WorkgroupSizeX:         int(a.workgroup_size_x),
			WorkgroupsPerDimension: int(a.workgroups_per_dimension),
		},
	}
	if a.timestamps != 0 {
		out.Features = append(out.Features, driver.TimestampQuery)
	}
	if a.uniform_table != 0 {
		out.Features = append(out.Features, driver.UniformTable)
	}
	return out
}

func clamp(size uint64) int64 { return int64(min(size, math.MaxInt64)) }

func api(backend int) string {
	switch backend {
	case 4:
		return "DX12"
	case 5:
		return "Metal"
	case 6:
		return "Vulkan"
	}
	return "other"
}

func kind(adapterType int) driver.Kind {
	switch adapterType {
	case 0:
		return driver.Discrete
	case 1:
		return driver.Integrated
	case 2:
		return driver.CPU
	}
	return driver.Other
}

// Open asks an adapter for a device with all of the adapter's limits.
func (d *backend) Open(index int) (driver.Device, error) {
	adapters := d.list()
	if index < 0 || index >= len(adapters) {
		return nil, fmt.Errorf("wgpu: there is no adapter %d, only %d adapters", index, len(adapters))
	}
	return open(&adapters[index])
}
