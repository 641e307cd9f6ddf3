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
fn main(@builtin(local_invocation_index) i: u32) {
	for (var j = i; j < 64u; j += 16u) { y[j] = table[j] + table[63u - table[j]]; }
}
`

// checkTable runs a kernel on an adapter that should offer the uniform table,
// and takes the offer back if the kernel does not find it.
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
	p, err := d.CreateProgram("table", []driver.Dispatch{{Kernel: k, Bindings: []driver.Binding{{Buffer: y}}, Groups: [3]uint32{1, 1, 1}}})
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
