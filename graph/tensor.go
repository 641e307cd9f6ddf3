package graph

import (
	"fmt"

	"bitnet/gpu"
	"bitnet/shaders"
)

// DType is how a tensor's elements are stored.
type DType int

const (
	F32     DType = iota
	U32           // token ids, positions, counts
	Int8          // quantised activations, four a u32
	Ternary       // quantised weights, 16 a u32, codes w + 1
)

func (d DType) String() string { return [...]string{"f32", "u32", "int8", "ternary"}[d] }

// rowWords is the number of 32-bit words in a row of cols elements.
func (d DType) rowWords(cols int) int {
	switch d {
	case Int8:
		return shaders.Words4(cols)
	case Ternary:
		return shaders.Words16(cols)
	}
	return cols
}

// Tensor is a matrix [Rows, Cols] at a planned place of an arena.
type Tensor struct {
	Name       string
	DType      DType
	Rows, Cols int

	arena  *arena
	slab   int
	offset int64

	// First and last call that touches it, once a graph is planned;
	// only for tensors of the activation arena.
	used        bool
	first, last int
}

func tensor(name string, d DType, rows, cols int) *Tensor {
	return &Tensor{Name: name, DType: d, Rows: rows, Cols: cols}
}

// bytes is the size in its arena.
func (t *Tensor) bytes() int64 {
	return 4 * int64(t.Rows) * int64(t.DType.rowWords(t.Cols))
}

// buffer is the slab that holds the tensor. It is an error before the arena is
// allocated and after it is released.
func (t *Tensor) buffer() (*gpu.Buffer, error) {
	if t.arena == nil || t.slab >= len(t.arena.slabs) {
		return nil, fmt.Errorf("%s is not in a device's memory: it was not allocated, or it was released", t.Name)
	}
	return t.arena.slabs[t.slab], nil
}

// write copies bytes to the tensor from its start.
func (t *Tensor) write(data []byte) error { return t.writeAt(0, data) }

// read waits for the device and copies the tensor from its start.
func (t *Tensor) read(data []byte) error { return t.readAt(0, data) }

// writeAt copies bytes to an offset inside the tensor.
func (t *Tensor) writeAt(offset int64, data []byte) error {
	b, err := t.span(offset, len(data))
	if err != nil {
		return err
	}
	return b.Write(t.offset+offset, data)
}

// readAt waits for the device and copies from an offset inside the tensor.
func (t *Tensor) readAt(offset int64, data []byte) error {
	b, err := t.span(offset, len(data))
	if err != nil {
		return err
	}
	return b.Read(t.offset+offset, data)
}

// span is the buffer of n bytes at an offset, which have to lie in the tensor.
func (t *Tensor) span(offset int64, n int) (*gpu.Buffer, error) {
	if offset < 0 || offset+int64(n) > t.bytes() {
		return nil, fmt.Errorf("%d bytes at %d lie outside %s [%d, %d] of %d bytes", n, offset, t.Name, t.Rows, t.Cols, t.bytes())
	}
	return t.buffer()
}

// Quantized is the int8 form of a tensor that is never stored in full: row t
// represents codes[t] * scale[t].
type Quantized struct {
	codes, scale *Tensor
	// full represents the values in the backward pass, which passes the
	// gradient straight through the quantisation. Graph.Quantize has it in memory.
	full *Tensor
}
