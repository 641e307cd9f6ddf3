//go:build !js

package text

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// scanner walks a value of the compact thrift protocol without building it.
// It checks what the parquet library would believe: the sizes of lists, and
// nested values of any depth. A few bytes could take all memory or stack there.
type scanner struct {
	r    *bufio.Reader
	left int64 // bytes that may still be read
	// structures is how many structures in lists may still come. Each takes three
	// bytes of a file, but hundreds in memory.
	structures int64
	// visit, if not nil, gets each integer and boolean field, with the ids of the
	// field's parent in the outermost structure (0 if the field is in it) and of
	// the field.
	visit func(parent, id int16, v int64)
}

const maxThriftDepth = 32

// Types of the compact protocol.
const (
	thriftStop = iota
	thriftTrue
	thriftFalse
	thriftI8
	thriftI16
	thriftI32
	thriftI64
	thriftDouble
	thriftBinary
	thriftList
	thriftSet
	thriftMap
	thriftStruct
	thriftUUID
)

func (s *scanner) byte() (byte, error) {
	if s.left < 1 {
		return 0, io.ErrUnexpectedEOF
	}
	s.left--
	b, err := s.r.ReadByte()
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return b, err
}

func (s *scanner) uvarint() (uint64, error) {
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		b, err := s.byte()
		if err != nil {
			return 0, err
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v, nil
		}
	}
	return 0, errors.New("number of more than 64 bits")
}

func (s *scanner) varint() (int64, error) {
	v, err := s.uvarint()
	return int64(v>>1) ^ -int64(v&1), err
}

func (s *scanner) skip(n int64) error {
	if n < 0 || n > s.left {
		return io.ErrUnexpectedEOF
	}
	s.left -= n
	_, err := io.CopyN(io.Discard, s.r, n)
	return err
}

// structure walks a structure, fields and all. depth is 0 for the outermost.
func (s *scanner) structure(depth int, parent int16) error {
	if depth > maxThriftDepth {
		return fmt.Errorf("nested deeper than %d", maxThriftDepth)
	}
	var id int16
	for {
		b, err := s.byte()
		if err != nil {
			return err
		}
		kind := b & 0xf
		if kind == thriftStop {
			return nil
		}
		if delta := int16(b >> 4); delta != 0 {
			id += delta
		} else {
			v, err := s.varint()
			if err != nil {
				return err
			}
			id = int16(v)
		}
		if kind == thriftStruct {
			child := int16(-1) // deeper fields are not reported
			if depth == 0 {
				child = id
			}
			if err := s.structure(depth+1, child); err != nil {
				return err
			}
			continue
		}
		v, err := s.value(kind, depth, false)
		if err != nil {
			return err
		}
		if s.visit != nil && parent >= 0 {
			s.visit(parent, id, v)
		}
	}
}

// value walks a value and gives it if it is an integer or a boolean.
func (s *scanner) value(kind byte, depth int, inList bool) (int64, error) {
	switch kind {
	case thriftTrue, thriftFalse:
		if inList {
			_, err := s.byte()
			return 0, err
		}
		if kind == thriftTrue {
			return 1, nil
		}
		return 0, nil
	case thriftI8:
		b, err := s.byte()
		return int64(int8(b)), err
	case thriftI16, thriftI32, thriftI64:
		return s.varint()
	case thriftDouble:
		return 0, s.skip(8)
	case thriftUUID:
		return 0, s.skip(16)
	case thriftBinary:
		n, err := s.uvarint()
		if err != nil {
			return 0, err
		}
		return 0, s.skip(int64(min(n, 1<<40)))
	case thriftList, thriftSet:
		return 0, s.list(depth)
	case thriftMap:
		return 0, errors.New("map where parquet has none")
	case thriftStruct:
		return 0, s.structure(depth+1, -1)
	}
	return 0, fmt.Errorf("unknown type %d", kind)
}

func (s *scanner) list(depth int) error {
	if depth > maxThriftDepth {
		return fmt.Errorf("nested deeper than %d", maxThriftDepth)
	}
	b, err := s.byte()
	if err != nil {
		return err
	}
	n, kind := uint64(b>>4), b&0xf
	if n == 0xf {
		if n, err = s.uvarint(); err != nil {
			return err
		}
	}
	if n > uint64(s.left) {
		return fmt.Errorf("list of %d elements in %d bytes", n, s.left)
	}
	if kind == thriftStruct {
		if s.structures -= int64(n); s.structures < 0 {
			return errors.New("too many structures; if the file is intact, write it again with larger row groups")
		}
	}
	for range n {
		before := s.left
		if _, err := s.value(kind, depth+1, true); err != nil {
			return err
		}
		// Elements of parquet's lists of structures have required fields.
		if kind == thriftStruct && before-s.left < 3 {
			return errors.New("empty structure in a list")
		}
	}
	return nil
}
