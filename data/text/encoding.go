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
	b     []byte
	width uint   // bits, up to 32
	run   uint64 // values left in the run
	value uint32 // of a run of equal values
	bits  []byte // of a bit-packed run, else nil
	at    uint   // bits of it used
}

func (h *hybrid) next() (uint32, error) {
	for h.run == 0 {
		if len(h.b) == 0 {
			return 0, io.ErrUnexpectedEOF
		}
		head, n := binary.Uvarint(h.b)
		if n <= 0 {
			return 0, errors.New("bad length of a run")
		}
		h.b = h.b[n:]
		h.run = head >> 1
		if head&1 == 0 {
			size := int(h.width+7) / 8
			if size > len(h.b) {
				return 0, io.ErrUnexpectedEOF
			}
			var v [4]byte
			copy(v[:], h.b[:size])
			h.value, h.bits, h.b = binary.LittleEndian.Uint32(v[:]), nil, h.b[size:]
			continue
		}
		// Groups of 8 values; writers may leave out the end of the last.
		if h.run > 1<<32 {
			return 0, errors.New("bad length of a run")
		}
		size := min(h.run*uint64(h.width), uint64(len(h.b)))
		h.run *= 8
		h.bits, h.b, h.at = h.b[:size:size], h.b[size:], 0
		if h.bits == nil {
			h.bits = []byte{}
		}
	}
	h.run--
	if h.bits == nil {
		return h.value, nil
	}
	v, err := bitsAt(h.bits, h.at, h.width)
	h.at += h.width
	return uint32(v), err
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
	b       []byte
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
}

func (d *delta) uvarint() (uint64, error) {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		return 0, io.ErrUnexpectedEOF
	}
	d.b = d.b[n:]
	return v, nil
}

func (d *delta) begin() error {
	var head [4]uint64
	for i := range head {
		var err error
		if head[i], err = d.uvarint(); err != nil {
			return err
		}
	}
	block, minis := head[0], head[1]
	if block == 0 || block > 1<<20 || minis == 0 || minis > block || block%minis != 0 || head[2] > 1<<31 {
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
		base, err := d.uvarint()
		if err != nil {
			return err
		}
		d.base = unzigzag(base)
		n := d.block / d.perMini
		if n > uint64(len(d.b)) {
			return io.ErrUnexpectedEOF
		}
		d.widths, d.b = d.b[:n], d.b[n:]
	}
	d.width, d.widths = uint(d.widths[0]), d.widths[1:]
	if d.width > 64 {
		return fmt.Errorf("deltas of %d bits", d.width)
	}
	size := (d.perMini*uint64(d.width) + 7) / 8
	if size > uint64(len(d.b)) {
		return io.ErrUnexpectedEOF
	}
	d.mini, d.b = d.b[:size], d.b[size:]
	d.in, d.at = d.perMini, 0
	return nil
}
