package gpu

import (
	"errors"
	"unsafe"

	"bitnet/gpu/driver"
)

// Access is how a kernel uses one of its bindings.
type Access = driver.Access

const (
	Read      = driver.Read
	ReadWrite = driver.ReadWrite
)

// Kind orders adapters by how well they suit training.
type Kind = driver.Kind

const (
	Discrete   = driver.Discrete
	Integrated = driver.Integrated
	CPU        = driver.CPU
	Other      = driver.Other
)

// Limits are what an adapter allows; sizes are in bytes.
type Limits = driver.Limits

// Features of adapters by their WebGPU names, for Adapter.Has.
const (
	TimestampQuery      = driver.TimestampQuery
	ShaderF16           = driver.ShaderF16
	Subgroups           = driver.Subgroups
	SubgroupMatrix      = driver.SubgroupMatrix
	SubgroupSizeControl = driver.SubgroupSizeControl
	PackedDot           = driver.PackedDot    // of the language
	UniformTable        = driver.UniformTable // not WebGPU's
)

// MatrixShape is a product that a subgroup computes at once with matrix units.
type MatrixShape = driver.MatrixShape

var (
	ErrOutOfMemory  = driver.ErrOutOfMemory
	ErrDeviceLost   = driver.ErrDeviceLost
	ErrNoTimestamps = errors.New("this adapter has no timestamps: time whole runs instead")
	errClosed       = errors.New("the device is closed")
)

// Bytes views a slice of 32-bit values as its bytes, without a copy. Buffers
// hold little-endian values, as every machine with a WebGPU driver does.
func Bytes[T ~float32 | ~uint32 | ~int32](s []T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), 4*len(s))
}
