// Package driver is the narrow interface between package gpu and the libraries
// that talk to graphics hardware. A driver receives whole programs (lists of
// dispatches over fixed buffers), so that one in another process or in a browser
// needs one short message to run a training step.
//
// A driver is one package that calls Register from an init function. Package gpu
// includes it by a blank import in a file of its own, with the build constraints
// of the driver (gpu/driver_wgpu.go).
package driver

import (
	"errors"
	"fmt"
	"time"
)

// Kind orders adapters by how well they suit training.
type Kind int

const (
	Discrete Kind = iota
	Integrated
	CPU
	Other
)

func (k Kind) String() string {
	switch k {
	case Discrete:
		return "discrete GPU"
	case Integrated:
		return "integrated GPU"
	case CPU:
		return "CPU"
	}
	return "other"
}

// Limits are what an adapter allows; sizes are in bytes.
type Limits struct {
	BufferSize             int64 // of one buffer
	BindingSize            int64 // of one storage binding
	OffsetAlignment        int64 // of a binding within a buffer
	StorageBindings        int   // of one kernel
	WorkgroupMemory        int   // of one workgroup
	WorkgroupInvocations   int   // of one workgroup
	WorkgroupSizeX         int   // largest x of one workgroup
	WorkgroupsPerDimension int   // of one dispatch
}

// Adapter describes one device that a driver can open.
type Adapter struct {
	Name     string // "NVIDIA GeForce RTX 3060"
	Driver   string // the driver's own description, with its version if it has one
	API      string // "Vulkan", "Metal", "DX12"
	Kind     Kind
	VendorID uint32
	DeviceID uint32
	Limits   Limits
	Features []string // WebGPU names of the optional features that bitnet knows

	SubgroupMin, SubgroupMax int           // invocations; 0 if the driver does not report them
	Matrices                 []MatrixShape // what the matrix units compute
}

// MatrixShape is a product that a subgroup computes at once with an adapter's
// matrix units: [M, K] times [K, N], added to [M, N].
type MatrixShape struct {
	M, N, K   int
	Component string // of the factors: "f16", "i8", ...
	Result    string // "f32", "i32", ...
}

// Has reports whether the adapter offers a feature by its WebGPU name.
func (a Adapter) Has(feature string) bool {
	for _, f := range a.Features {
		if f == feature {
			return true
		}
	}
	return false
}

// Names of optional features, as WebGPU spells them.
const (
	TimestampQuery = "timestamp-query"
	ShaderF16      = "shader-f16"

	Subgroups           = "subgroups"
	SubgroupSizeControl = "subgroup-size-control"
	SubgroupMatrix      = "chromium-experimental-subgroup-matrix"
	PackedDot           = "packed_4x8_integer_dot_product" // of the language
)

// UniformTable is a feature that WebGPU does not have: every kernel finds the
// numbers 0 to 63 in `var<push_constant> table: array<u32, 64>`. A compiler for a
// CPU knows that a value from there is the same in all invocations (so its index
// must be the same, too), and loads from an address computed with it once for a
// whole vector of invocations.
const UniformTable = "uniform-table"

// Access is how a kernel uses one binding.
type Access int

const (
	Read Access = iota
	ReadWrite
)

// Handles of what a device has created; they mean nothing to another device.
type (
	Buffer  int32
	Kernel  int32
	Program int32
)

// Binding is a range of a buffer; Size 0 means up to its end.
type Binding struct {
	Buffer       Buffer
	Offset, Size int64
}

// Dispatch runs a kernel once over Groups workgroups.
type Dispatch struct {
	Kernel   Kernel
	Bindings []Binding
	Groups   [3]uint32
}

// Errors that any call to a device may return, besides faults of the call itself.
var (
	ErrOutOfMemory = errors.New("the adapter is out of memory: use a smaller model or batch, or another --device")
	ErrDeviceLost  = errors.New("the graphics device was lost: start again, and if it happens again update its driver or choose another --device")
)

// CompileError is an error at a line of WGSL source.
type CompileError struct {
	Line, Column int // from 1; 0 if the compiler did not say
	Message      string
}

func (e *CompileError) Error() string {
	if e.Line == 0 {
		return e.Message
	}
	return fmt.Sprintf("%d:%d: %s", e.Line, e.Column, e.Message)
}

// Info is what a driver says about itself.
type Info struct {
	// Name is what --backend and $BITNET_BACKEND call the driver.
	Name string
	// Default marks the driver that the backend auto lists adapters with. At
	// most one driver of a build has it.
	Default bool
	// AfterDefault asks that the default driver lists its adapters before this
	// one does, because it sets the environment that both need, and because it
	// knows kinds and ids of adapters that this one does not. In return, auto
	// opens a GPU through this driver where that reaches its matrix units.
	AfterDefault bool
	// Install is the command that installs what the driver needs. It is empty
	// if the driver needs nothing that is not part of the program.
	Install string
}

// Driver lists and opens adapters.
type Driver interface {
	// Info always returns the same.
	Info() Info
	// Ready returns nil if the driver can be used on this machine, or an error
	// that says what to do. It starts nothing and takes no time.
	Ready() error
	// Adapters lists the adapters in an order that does not change.
	Adapters() ([]Adapter, error)
	// Open opens the adapter at an index of the list.
	Open(index int) (Device, error)
}

// Device owns buffers, kernels and programs of one adapter. Its methods are
// for one goroutine at a time.
type Device interface {
	// CreateBuffer returns a zeroed storage buffer.
	CreateBuffer(label string, size int64) (Buffer, error)
	DestroyBuffer(Buffer)
	// Write copies data into the buffer, after the programs that were run
	// before it and before those that are run after it. Offset and length
	// are multiples of 4. The caller may change data once Write returns.
	Write(b Buffer, offset int64, data []byte) error
	// Read waits for all that was run and copies from the buffer.
	Read(b Buffer, offset int64, dst []byte) error

	// CreateKernel compiles WGSL whose entry point is "main" and whose
	// bindings are 0..len(access)-1 of group 0, all storage buffers. A fault
	// in the source is a *CompileError.
	CreateKernel(label, wgsl string, access []Access) (Kernel, error)
	CreateProgram(label string, dispatches []Dispatch) (Program, error)
	DestroyProgram(Program)
	// Run starts a program and returns before it is done; it waits only
	// when too many are under way.
	Run(Program) error
	// Wait returns when all that was run is done.
	Wait() error
	// Time runs a program once and returns how long each of its dispatches took.
	Time(Program) ([]time.Duration, error)
	Close()
}
