// Package wire is what the drivers share that send programs to WebGPU in JavaScript:
// package dawn through a pipe to another process, package browser by calls.
package wire

import (
	"encoding/binary"
	"errors"
	"strings"
	"time"
	"unicode/utf8"

	"bitnet/gpu/driver"
)

// transfer is the largest number of bytes of one write or read, of which the other
// side holds a copy.
const transfer = 16 << 20

// Pieces writes or reads data in pieces of at most 16 MiB: do gets each, and its
// offset in a buffer, which begins at offset.
func Pieces(offset int64, data []byte, do func(offset int64, piece []byte) error) error {
	for len(data) > 0 {
		n := min(len(data), transfer)
		if err := do(offset, data[:n]); err != nil {
			return err
		}
		offset += int64(n)
		data = data[n:]
	}
	return nil
}

// Letters describes a kernel's bindings: a letter for each, "r" for one that is only
// read and "w" for one that is written, too.
func Letters(access []driver.Access) string {
	var letters strings.Builder
	for _, a := range access {
		letters.WriteByte("rw"[a])
	}
	return letters.String()
}

// CheckSource refuses a kernel's source that JavaScript cannot hold as it is. The
// error is a *driver.CompileError.
func CheckSource(wgsl string) error {
	if !utf8.ValidString(wgsl) || strings.ContainsRune(wgsl, 0) {
		return &driver.CompileError{Message: "the source is not valid UTF-8 text"}
	}
	return nil
}

// Size is how many bytes a binding covers of a buffer of that many bytes.
func Size(b driver.Binding, buffer int64) int64 {
	if b.Size == 0 {
		return buffer - b.Offset
	}
	return b.Size
}

// Durations reads timestamps: for each dispatch its start and its end, as 64 bits of
// nanoseconds each.
func Durations(stamps []byte) ([]time.Duration, error) {
	times := make([]time.Duration, len(stamps)/16)
	for i := range times {
		before, after := binary.LittleEndian.Uint64(stamps[16*i:]), binary.LittleEndian.Uint64(stamps[16*i+8:])
		if after < before {
			return nil, errors.New("time a program: the adapter's clock ran backwards: time the whole program instead")
		}
		times[i] = time.Duration(after - before)
	}
	return times, nil
}
