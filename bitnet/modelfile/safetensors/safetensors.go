// Package safetensors reads and writes Hugging Face's safetensors files: a
// little-endian uint64 header length, a JSON header that gives each tensor's
// dtype, shape and byte range, then the bytes of all tensors one after the
// other (https://github.com/huggingface/safetensors, "Format").
//
// Files may come from strangers: Open checks the whole header before anything
// is read by it.
package safetensors

import (
	"fmt"
	"math"
	"strconv"
)

// Info describes one tensor of a file.
type Info struct {
	Name   string
	DType  string // F64 F32 F16 BF16 I64 I32 I16 I8 U64 U32 U16 U8 BOOL
	Shape  []int  // empty for a scalar
	Offset int64  // bytes from the end of the header
	Size   int64  // bytes
}

// Elements is how many elements the tensor has; a scalar has one.
func (i Info) Elements() int { return int(i.Size / widths[i.DType]) }

// widths gives the bytes of an element by dtype.
var widths = map[string]int64{
	"F64": 8, "F32": 4, "F16": 2, "BF16": 2,
	"I64": 8, "I32": 4, "I16": 2, "I8": 1,
	"U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1,
}

const (
	metadataKey = "__metadata__"
	// maxHeader and maxRank bound what a hostile header can cost. The first is
	// the limit of the format; no model has tensors of more than a few axes.
	maxHeader = 100_000_000
	maxRank   = 32
)

// size is the bytes of a tensor, or why there can be no such tensor.
func size(dtype string, shape []int) (int64, error) {
	n, known := widths[dtype]
	if !known {
		return 0, fmt.Errorf("dtype %s is not one of this package", short(dtype))
	}
	if len(shape) > maxRank {
		return 0, fmt.Errorf("it has %d axes, more than %d", len(shape), maxRank)
	}
	for _, d := range shape {
		if d < 0 {
			return 0, fmt.Errorf("shape %v has a negative axis", shape)
		}
		if d > 0 && n > math.MaxInt64/int64(d) {
			return 0, fmt.Errorf("shape %v overflows", shape)
		}
		n *= int64(d)
	}
	if n/widths[dtype] > math.MaxInt {
		return 0, fmt.Errorf("shape %v is too large for this machine's address space", shape)
	}
	return n, nil
}

// short quotes a string of a file for an error message: one line, not long.
func short(s string) string {
	const most = 80
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}
