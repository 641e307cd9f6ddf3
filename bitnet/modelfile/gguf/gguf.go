// Package gguf writes and reads GGUF files, the model files of llama.cpp and
// what is built on it: "GGUF", version 3, the numbers of tensors and keys, the
// keys with their values, each tensor's name, shape, type and place, then the
// tensors, each at a multiple of 32 bytes. All is little-endian
// (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md).
//
// Files may come from strangers: Open checks the whole header before anything
// is read by it.
package gguf

import (
	"fmt"
	"math"
	"strconv"
)

// Type is how a tensor's elements are stored.
type Type uint32

const (
	F32   Type = 0
	F16   Type = 1
	Q4_0  Type = 2  // 32 elements in 18 bytes
	TQ1_0 Type = 34 // 256 elements in 54 bytes
	TQ2_0 Type = 35 // 256 elements in 66 bytes
)

// layouts gives each type's name and block: so many elements in so many bytes.
var layouts = map[Type]struct {
	name            string
	elements, bytes int
}{
	F32: {"F32", 1, 4}, F16: {"F16", 1, 2}, Q4_0: {"Q4_0", 32, 18}, TQ1_0: {"TQ1_0", 256, 54}, TQ2_0: {"TQ2_0", 256, 66},
}

func (t Type) String() string {
	if l, ok := layouts[t]; ok {
		return l.name
	}
	return strconv.Itoa(int(t))
}

// Block is how many elements of a row are stored together; a row must be a
// multiple of it.
func (t Type) Block() int { return layouts[t].elements }

// RowBytes is the size of a row of n elements, which must be a multiple of Block.
func (t Type) RowBytes(n int) int {
	l := layouts[t]
	return n / l.elements * l.bytes
}

// KeyValue is one entry of a file's metadata. Value is a uint32, uint64, int32,
// float32, bool, string, []string, []int32 or []float32; other numbers that
// a file may hold are widened to int64, uint64 or float64, other arrays are
// read as []any.
type KeyValue struct {
	Key   string
	Value any
}

// Info describes one tensor of a file.
type Info struct {
	Name   string
	Type   Type
	Shape  []int // row-major: the last axis is contiguous
	Offset int64 // bytes from the beginning of the data
	Size   int64 // bytes
}

const (
	magic     = "GGUF"
	version   = 3
	alignment = 32
	// Bounds of what a hostile header can cost.
	maxString  = 16 << 20
	maxArray   = 16 << 20
	maxKeys    = 1 << 16
	maxTensors = 1 << 20
	maxAxes    = 4
)

// The value types of GGUF.
const (
	kindUint8 = iota
	kindInt8
	kindUint16
	kindInt16
	kindUint32
	kindInt32
	kindFloat32
	kindBool
	kindString
	kindArray
	kindUint64
	kindInt64
	kindFloat64
)

// size is the bytes of a tensor, or why there can be no such tensor.
func size(t Type, shape []int) (int64, error) {
	l, ok := layouts[t]
	if !ok {
		return 0, fmt.Errorf("its type is number %d, which is not one of F32, F16, Q4_0, TQ1_0 and TQ2_0", uint32(t))
	}
	if len(shape) < 1 || len(shape) > maxAxes {
		return 0, fmt.Errorf("it has %d axes, not 1 to %d", len(shape), maxAxes)
	}
	n := int64(1)
	for _, d := range shape {
		if d < 1 || n > math.MaxInt/8/int64(d) {
			return 0, fmt.Errorf("there can be no shape %v", shape)
		}
		n *= int64(d)
	}
	if last := shape[len(shape)-1]; last%l.elements != 0 {
		return 0, fmt.Errorf("its rows of %d elements are not a multiple of %d, which %s needs", last, l.elements, l.name)
	}
	return n / int64(l.elements) * int64(l.bytes), nil
}

func align(n int64) int64 { return (n + alignment - 1) / alignment * alignment }

// short quotes a string of a file for an error message.
func short(s string) string {
	const most = 60
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}
