//go:build !js

package text

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Snappy and LZ4 blocks are made to be decompressed in one piece, into memory
// for all of it. A page may be 100 MB, of which only the last 64 KiB or so are
// needed to continue, so large ones are decompressed here, piece by piece.

// elements gives the parts of a compressed block in order: n literal bytes,
// which are the next of r (back is 0), or n bytes that repeat what came back
// bytes before. It ends with io.EOF.
type elements interface {
	next(r *bufio.Reader) (n, back int64, err error)
}

// snappyElements reads Snappy's block format after the length that it begins
// with (github.com/google/snappy, format_description.txt).
type snappyElements struct{}

func (snappyElements) next(r *bufio.Reader) (n, back int64, err error) {
	tag, err := r.ReadByte()
	if err != nil {
		return 0, 0, err
	}
	size := [4]int{0, 1, 2, 4}[tag&3] // bytes of the offset
	n = int64(tag>>2) + 1
	switch tag & 3 {
	case 0:
		if n > 60 {
			if n, err = littleEndian(r, int(n-60)); err != nil {
				return 0, 0, err
			}
			n++
		}
		return n, 0, nil
	case 1:
		n = int64(tag>>2&7) + 4
	}
	if back, err = littleEndian(r, size); err != nil {
		return 0, 0, err
	}
	if tag&3 == 1 {
		back |= int64(tag>>5) << 8
	}
	if back == 0 {
		return 0, 0, errors.New("a copy from 0 bytes before")
	}
	return n, back, nil
}

// lz4Elements reads LZ4's block format (github.com/lz4/lz4,
// lz4_Block_format.md).
type lz4Elements struct {
	inside bool // literals of a sequence are read, its copy is not
	copies int64
}

func (e *lz4Elements) next(r *bufio.Reader) (n, back int64, err error) {
	if !e.inside {
		tag, err := r.ReadByte()
		if err != nil {
			return 0, 0, err
		}
		if n, err = lz4Length(r, int64(tag>>4)); err != nil {
			return 0, 0, err
		}
		e.inside, e.copies = true, int64(tag&15)
		if n > 0 {
			return n, 0, nil
		}
	}
	// The last sequence ends after its literals.
	if _, err := r.Peek(1); err != nil {
		return 0, 0, err
	}
	e.inside = false
	if back, err = littleEndian(r, 2); err != nil {
		return 0, 0, err
	}
	if back == 0 {
		return 0, 0, errors.New("a copy from 0 bytes before")
	}
	n, err = lz4Length(r, e.copies)
	return n + 4, back, err
}

func lz4Length(r *bufio.Reader, n int64) (int64, error) {
	for more := n == 15; more; {
		b, err := r.ReadByte()
		if err != nil {
			return 0, unexpected(err)
		}
		n += int64(b)
		more = b == 255
	}
	return n, nil
}

func littleEndian(r *bufio.Reader, size int) (int64, error) {
	var b [8]byte
	_, err := io.ReadFull(r, b[:size])
	return int64(binary.LittleEndian.Uint64(b[:])), unexpected(err)
}

func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// farthest is how far back the copies of a block reach. It reads the whole
// block, but decompresses nothing.
func farthest(r *bufio.Reader, e elements) (int64, error) {
	most := int64(0)
	for {
		n, back, err := e.next(r)
		if err == io.EOF {
			return most, nil
		}
		if err != nil {
			return 0, err
		}
		most = max(most, back)
		for back == 0 && n > 0 {
			k, err := r.Discard(int(min(n, 1<<20)))
			if err != nil {
				return 0, unexpected(err)
			}
			n -= int64(k)
		}
	}
}

// lz77 decompresses a block whose copies reach window bytes back at most.
type lz77 struct {
	r      *bufio.Reader
	e      elements
	window int
	out    []byte // what was decompressed last; cap is fixed
	read   int    // bytes of out that the caller has
	n      int64  // left of the element
	back   int64  // of the element
}

func newLZ77(r *bufio.Reader, e elements, window int64) *lz77 {
	return &lz77{r: r, e: e, window: int(window), out: make([]byte, 0, 2*int(window)+sourceChunk)}
}

func (z *lz77) Read(p []byte) (int, error) {
	for z.read == len(z.out) {
		if err := z.step(); err != nil {
			return 0, err
		}
	}
	n := copy(p, z.out[z.read:])
	z.read += n
	return n, nil
}

// step decompresses until there is a chunk to read, or the block ends.
func (z *lz77) step() error {
	if cap(z.out)-len(z.out) < sourceChunk {
		keep := min(z.window, len(z.out))
		z.out = z.out[:copy(z.out[:keep], z.out[len(z.out)-keep:])]
		z.read = keep
	}
	limit := len(z.out) + sourceChunk
	for len(z.out) < limit {
		if z.n == 0 {
			var err error
			if z.n, z.back, err = z.e.next(z.r); err != nil {
				if err == io.EOF && len(z.out) > z.read {
					return nil // the next call meets the end again
				}
				return err
			}
		}
		at := len(z.out)
		k := int(min(z.n, int64(limit-at)))
		if z.back == 0 {
			if _, err := io.ReadFull(z.r, z.out[at:at+k]); err != nil {
				return unexpected(err)
			}
			z.out = z.out[:at+k]
		} else {
			if z.back > int64(at) {
				return fmt.Errorf("a copy from %d bytes before, where %d are known", z.back, at)
			}
			from := at - int(z.back)
			z.out = z.out[:at+k]
			for done := 0; done < k; { // a copy may overlap itself
				done += copy(z.out[at+done:at+k], z.out[from:at+done])
			}
		}
		z.n -= int64(k)
	}
	return nil
}
