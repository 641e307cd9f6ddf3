//go:build !js

package text

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// hybrid reads parquet's run-length and bit-packed numbers one by one: a run of
// any length costs no memory.
type hybrid struct {
	s      *source
	width  uint   // bits, up to 32
	run    uint64 // values left in the run
	packed bool   // the run is bit-packed
	value  uint32 // of a run of equal values
	group  []byte // of a bit-packed run: eight values
	at     uint   // bits of it used
}

func (h *hybrid) next() (uint32, error) {
	for h.run == 0 {
		if err := h.begin(); err != nil {
			return 0, err
		}
	}
	h.run--
	if !h.packed {
		return h.value, nil
	}
	if h.at == 8*h.width {
		// Writers may leave out the end of the last group.
		group, err := h.s.take(int(min(int64(h.width), h.s.remaining())))
		if err != nil {
			return 0, err
		}
		h.group, h.at = group, 0
	}
	v, err := bitsAt(h.group, h.at, h.width)
	h.at += h.width
	return uint32(v), err
}

// begin reads the head of a run.
func (h *hybrid) begin() error {
	if h.s.remaining() == 0 {
		return io.ErrUnexpectedEOF
	}
	head, err := h.s.uvarint()
	if err != nil {
		return fmt.Errorf("bad length of a run: %w", err)
	}
	h.run, h.packed = head>>1, head&1 == 1
	if !h.packed {
		b, err := h.s.take(int(h.width+7) / 8)
		if err != nil {
			return err
		}
		var v [4]byte
		copy(v[:], b)
		h.value = binary.LittleEndian.Uint32(v[:])
		return nil
	}
	if h.run > 1<<32 {
		return errors.New("bad length of a run")
	}
	h.run *= 8
	h.group, h.at = nil, 8*h.width
	return nil
}

// bitsAt reads width bits (up to 64) at bit at, least significant first.
func bitsAt(b []byte, at, width uint) (uint64, error) {
	if at+width > 8*uint(len(b)) {
		return 0, io.ErrUnexpectedEOF
	}
	var v uint64
	for got := uint(0); got < width; {
		c := uint64(b[at/8] >> (at % 8))
		take := min(8-at%8, width-got)
		v |= (c & (1<<take - 1)) << got
		got += take
		at += take
	}
	return v, nil
}

// delta reads parquet's DELTA_BINARY_PACKED numbers one by one.
type delta struct {
	s       *source
	block   uint64 // values in a block
	perMini uint64 // values in a miniblock
	left    uint64 // values still to come, first one included
	first   bool
	last    int64
	base    int64  // least delta of the block
	widths  []byte // of the miniblocks that are left in the block
	mini    []byte // bits of the current miniblock
	in      uint64 // values left in it
	at      uint
	width   uint
	room    []byte // of widths
}

// begin reads the head, which may announce at most so many values.
func (d *delta) begin(most int64) error {
	var head [4]uint64
	for i := range head {
		var err error
		if head[i], err = d.s.uvarint(); err != nil {
			return err
		}
	}
	block, minis := head[0], head[1]
	if block == 0 || block > 1<<20 || minis == 0 || minis > block || block%minis != 0 || head[2] > uint64(most) {
		return fmt.Errorf("blocks of %d values in %d parts, %d values", block, minis, head[2])
	}
	d.block, d.perMini, d.left = block, block/minis, head[2]
	d.last, d.first = unzigzag(head[3]), true
	return nil
}

func unzigzag(v uint64) int64 { return int64(v>>1) ^ -int64(v&1) }

func (d *delta) next() (int64, error) {
	if d.left == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	d.left--
	if d.first {
		d.first = false
		return d.last, nil
	}
	if d.in == 0 {
		if err := d.miniblock(); err != nil {
			return 0, err
		}
	}
	d.in--
	v, err := bitsAt(d.mini, d.at, d.width)
	d.at += d.width
	d.last += d.base + int64(v)
	return d.last, err
}

func (d *delta) miniblock() error {
	if len(d.widths) == 0 {
		base, err := d.s.uvarint()
		if err != nil {
			return err
		}
		d.base = unzigzag(base)
		widths, err := d.s.take(int(d.block / d.perMini))
		if err != nil {
			return err
		}
		d.room = append(d.room[:0], widths...)
		d.widths = d.room
	}
	d.width, d.widths = uint(d.widths[0]), d.widths[1:]
	if d.width > 64 {
		return fmt.Errorf("deltas of %d bits", d.width)
	}
	mini, err := d.s.take(int((d.perMini*uint64(d.width) + 7) / 8))
	if err != nil {
		return err
	}
	d.mini, d.in, d.at = mini, d.perMini, 0
	return nil
}

// maxNumbers bounds the lengths of a page's strings, which are kept in memory.
const maxNumbers = 64 << 20

// numbers reads past the DELTA_BINARY_PACKED numbers that s begins with, at most
// so many, and gives a reader of them. It keeps their bytes in room.
func numbers(s *source, most int64, room *[]byte) (*delta, error) {
	*room = (*room)[:0]
	s.record = room
	defer func() { s.record = nil }()
	d := delta{s: s}
	if err := d.begin(most); err != nil {
		return nil, err
	}
	for d.left > 0 {
		if d.left%4096 == 0 {
			if err := s.ctx.Err(); err != nil {
				return nil, err
			}
		}
		if _, err := d.next(); err != nil {
			return nil, err
		}
		if len(*room) > maxNumbers {
			return nil, fmt.Errorf("more than %d bytes where only lengths belong", maxNumbers)
		}
	}
	again := &delta{s: &source{b: *room, ctx: s.ctx}}
	return again, again.begin(most)
}
