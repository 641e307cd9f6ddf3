// Package graph knows tensors, operations and their gradients. A model is
// declared once as a Graph over Params; compiling it derives the backward
// pass, lays all tensors into a few large buffers by lifetime, and gives gpu
// programs that run a step again and again without allocating anything.
//
// All tensors are matrices: activations are [tokens, features], where tokens
// run over the sequences of a batch one after another.
package graph

import (
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

	// First and last call that touches it, once a program is laid out;
	// only for tensors of the activation arena.
	used        bool
	first, last int
}

// bytes is the size in its arena.
func (t *Tensor) bytes() int64 {
	return 4 * int64(t.Rows) * int64(t.DType.rowWords(t.Cols))
}

// Quantized is the int8 form of a tensor that is never stored in full: row t
// stands for codes[t] * scale[t].
type Quantized struct {
	codes, scale *Tensor
	// full stands for the values in the backward pass, which passes the
	// quantisation straight through.
	full *Tensor
}
