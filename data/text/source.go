//go:build !js

package text

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// source gives the bytes of a page, one piece after the other. They are in
// memory, or come from r as they are asked for, so that a large page costs no
// more than its largest piece.
type source struct {
	b    []byte    // what is in memory and not taken yet
	r    io.Reader // gives the other bytes
	left int64     // how many those are
	ctx  context.Context
	buf  []byte
	// record, if not nil, gets a copy of all that is taken.
	record *[]byte
}

// sourceChunk is how much a source reads ahead.
const sourceChunk = 256 << 10

// remaining is how many bytes are not taken yet.
func (s *source) remaining() int64 { return int64(len(s.b)) + s.left }

// take gives the next n bytes, which are valid until the next call.
func (s *source) take(n int) ([]byte, error) {
	if n > len(s.b) {
		if err := s.fill(n); err != nil {
			return nil, err
		}
	}
	v := s.b[:n:n]
	s.b = s.b[n:]
	if s.record != nil {
		*s.record = append(*s.record, v...)
	}
	return v, nil
}

// fill brings n bytes into memory.
func (s *source) fill(n int) error {
	if int64(n) > s.remaining() {
		return io.ErrUnexpectedEOF
	}
	if err := s.ctx.Err(); err != nil {
		return err
	}
	if cap(s.buf) < n || s.buf == nil {
		old := s.b
		s.buf = make([]byte, max(n, sourceChunk))
		s.b = s.buf[:copy(s.buf, old)]
	} else {
		s.b = s.buf[:copy(s.buf, s.b)]
	}
	have := len(s.b)
	most := min(int64(len(s.buf)-have), s.left)
	k, err := io.ReadAtLeast(s.r, s.buf[have:have+int(most)], n-have)
	s.b = s.buf[:have+k]
	s.left -= int64(k)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (s *source) uvarint() (uint64, error) {
	var v uint64
	for shift := 0; shift < 64; shift += 7 {
		b, err := s.take(1)
		if err != nil {
			return 0, err
		}
		v |= uint64(b[0]&0x7f) << shift
		if b[0] < 0x80 {
			return v, nil
		}
	}
	return 0, errors.New("a number of more than 64 bits")
}

// all appends the next n bytes to dst, which is to hold at most limit.
func (s *source) all(dst []byte, n, limit int64) ([]byte, error) {
	if n > limit {
		return dst, fmt.Errorf("%d bytes where at most %d are read", n, limit)
	}
	for n > 0 {
		v, err := s.take(int(min(n, sourceChunk)))
		if err != nil {
			return dst, err
		}
		dst = append(dst, v...)
		n -= int64(len(v))
	}
	return dst, nil
}

// value reads a length of four bytes and a string of that length.
func (s *source) value(limit int) ([]byte, error) {
	head, err := s.take(4)
	if err != nil {
		return nil, err
	}
	n := int64(binary.LittleEndian.Uint32(head))
	return s.text(n, limit)
}

// text reads a string of n bytes.
func (s *source) text(n int64, limit int) ([]byte, error) {
	if n < 0 || n > s.remaining() {
		return nil, fmt.Errorf("a string of %d bytes where %d are left", n, s.remaining())
	}
	if n > int64(limit) {
		return nil, tooLong(n, limit)
	}
	return s.take(int(n))
}
