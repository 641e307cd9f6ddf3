//go:build cgo

package wgpu

// #include "shim.h"
import "C"

import (
	"encoding/binary"

	"bitnet/gpu/driver"
)

const tableKernel = `@group(0) @binding(0) var<storage, read_write> y: array<u32>;
var<push_constant> table: array<u32, 64>;
@compute @workgroup_size(16)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) i: u32) {
	if (i == 0u) { y[group.x] = table[group.x] + table[63u - table[group.x]]; }
}
`

// checkTable runs a kernel on an adapter that should have the uniform table, and
// removes the feature if the kernel does not find the table.
func checkTable(a *C.bn_adapter) {
	if a.uniform_table != 0 && !tableWorks(a) {
		a.uniform_table = 0
	}
}

func tableWorks(a *C.bn_adapter) bool {
	d, err := open(a)
	if err != nil {
		return false
	}
	defer d.Close()
	y, err := d.CreateBuffer("table", 256)
	if err != nil {
		return false
	}
	k, err := d.CreateKernel("table", tableKernel, []driver.Access{driver.ReadWrite})
	if err != nil {
		return false
	}
	p, err := d.CreateProgram("table", []driver.Dispatch{{Kernel: k, Bindings: []driver.Binding{{Buffer: y}}, Groups: [3]uint32{64, 1, 1}}})
	if err != nil || d.Run(p) != nil {
		return false
	}
	got := make([]byte, 256)
	if d.Read(y, 0, got) != nil {
		return false
	}
	for i := range 64 {
		if binary.NativeEndian.Uint32(got[4*i:]) != 63 {
			return false
		}
	}
	return true
}
