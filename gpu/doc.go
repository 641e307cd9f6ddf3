// Package gpu lists and opens graphics adapters and runs compute kernels on
// them. Its central type is the Program: dispatches over fixed buffers, checked
// and recorded once, then run many times. It knows nothing of tensors or
// training.
//
//	d, err := gpu.Open("")                                  // the best adapter
//	k, err := d.Kernel("saxpy", wgsl, gpu.Read, gpu.ReadWrite)
//	x, err := d.NewBuffer("x", 4*n)                         // zeroed
//	p, err := d.NewProgram("step", []gpu.Dispatch{{Kernel: k, Bindings: ..., Groups: ...}})
//	err = x.Write(0, gpu.Bytes(values))
//	err = p.Run()                                           // does not wait
//	err = x.Read(0, gpu.Bytes(values))                      // waits
//
// Where to find what:
//
//	backend.go   which driver lists and opens an adapter: --backend and "auto"
//	adapter.go   what an adapter is, and choosing one by number or name
//	device.go    an open adapter, and counts of what it did
//	buffer.go    memory, and its copies from and to this process
//	kernel.go    compilation of WGSL, once for each source; compile errors
//	program.go   dispatches: their checks, runs and timings
//	variant.go   kernels compiled again for a dispatch that binds one buffer twice
//	memory.go    the limit for adapters that compute on the CPU
//
//	driver/      the interface to a driver, and the registry of drivers
//	wgpu/        the default driver: wgpu-native, in this process
//	dawn/        Dawn in a Node.js process: f16, subgroups, matrix units
//	browser/     navigator.gpu, in a program for js/wasm
//	internal/    wire: what dawn and browser share; fake: a driver for tests
//	driver_*.go  one file for each driver: in which builds it is included
//
// All checks of arguments are in this package, so a driver needs none. To add a
// driver, implement driver.Driver in a package of its own that calls
// driver.Register from an init function, and import it from a new file
// driver_NAME.go; nothing else changes. internal/fake is the shortest example.
package gpu
