package data

import (
	"encoding/binary"
	"fmt"
	"runtime/debug"

	"bitnet/data/mapped"
	"bitnet/data/order"
)

// Tokens is a Source over a raw file of little-endian token ids: no header,
// uint16 or uint32. Its samples are the windows of seq+1 ids that start at
// multiples of seq; window w is w*seq .. w*seq+seq. The ids after the last
// whole window are not used.
//
// Without shuffle the windows come in file order: row r of micro-batch k
// (counted over the whole run) is window k*rows+r, and after the last window
// comes window 0 of the next epoch. With shuffle each epoch has its own order.
type Tokens struct {
	file    *mapped.File
	width   int // bytes an id
	seq     int
	vocab   uint32
	windows int64
	shuffle bool
	seed    uint64

	pos  Position
	perm order.Permutation // of this epoch
}

// checkedAtOpen is how many ids OpenTokens looks at. A file of the wrong width
// or of another tokenizer shows at once, and a huge file still opens at once:
// Next checks every id it gives.
const checkedAtOpen = 1 << 22

// OpenTokens maps the ids in path: uint32 if wide, else uint16. Ids outside of
// [0, vocab) are refused with their offset, and so is a file without one whole
// window of seq+1 ids.
func OpenTokens(path string, wide bool, shuffle bool, seed uint64, seq, vocab int) (*Tokens, error) {
	if seq < 1 || vocab < 1 || int64(vocab) > 1<<32-1 {
		return nil, fmt.Errorf("%s: sequence length %d and vocabulary %d must be positive", path, seq, vocab)
	}
	file, err := mapped.Open(path)
	if err != nil {
		return nil, fmt.Errorf("opening token ids: %w", err)
	}
	t := &Tokens{file: file, width: 2, seq: seq, vocab: uint32(vocab), shuffle: shuffle, seed: seed}
	if wide {
		t.width = 4
	}
	if err := t.check(); err != nil {
		file.Close()
		return nil, err
	}
	t.reshuffle()
	return t, nil
}

func (t *Tokens) check() (err error) {
	defer mapped.Catch(&err, t.file.Path(), debug.SetPanicOnFault(true))
	raw := t.file.Bytes()
	if len(raw)%t.width != 0 {
		return fmt.Errorf("%s: %d bytes are not whole uint%d ids; say which width the file has", t.file.Path(), len(raw), 8*t.width)
	}
	n := len(raw) / t.width
	t.windows = int64(n-1) / int64(t.seq)
	if t.windows < 1 {
		return fmt.Errorf("%s: %d ids are too few for one window of %d+1; give a longer file or a shorter sequence", t.file.Path(), n, t.seq)
	}
	for i := range min(n, checkedAtOpen) {
		if t.id(raw, i) >= t.vocab {
			return t.outside(raw, i)
		}
	}
	return nil
}

func (t *Tokens) id(raw []byte, i int) uint32 {
	if t.width == 2 {
		return uint32(binary.LittleEndian.Uint16(raw[2*i:]))
	}
	return binary.LittleEndian.Uint32(raw[4*i:])
}

func (t *Tokens) outside(raw []byte, i int) error {
	return fmt.Errorf("%s: id %d at offset %d (byte %d) is outside of the vocabulary of %d; is it uint%d, and of this tokenizer?",
		t.file.Path(), t.id(raw, i), i, i*t.width, t.vocab, 8*t.width)
}

// Windows is how many samples an epoch has.
func (t *Tokens) Windows() int64 { return t.windows }

// Next fills b, whose Seq must be the one given to OpenTokens.
func (t *Tokens) Next(b *Batch) (err error) {
	if b.Seq != t.seq {
		return fmt.Errorf("%s: opened for sequences of %d, asked for %d", t.file.Path(), t.seq, b.Seq)
	}
	raw := t.file.Bytes()
	if raw == nil {
		return fmt.Errorf("%s: closed", t.file.Path())
	}
	defer mapped.Catch(&err, t.file.Path(), debug.SetPanicOnFault(true))
	pos := t.pos
	for r := range b.Rows {
		w := uint64(t.pos.Offset)
		if t.shuffle {
			w = t.perm.At(w)
		}
		start := int(w) * t.seq
		in := b.Inputs[r*t.seq:][:t.seq]
		out := b.Targets[r*t.seq:][:t.seq]
		if bad := ReadWindow(in, out, raw[start*t.width:], t.width, t.vocab); bad >= 0 {
			t.pos = pos
			t.reshuffle()
			return t.outside(raw, start+bad)
		}
		t.pos.Offset++
		if t.pos.Offset == t.windows {
			t.pos = Position{Epoch: t.pos.Epoch + 1}
			t.reshuffle()
		}
	}
	return nil
}

// ReadWindow decodes the len(in)+1 little-endian ids (of width 2 or 4 bytes) at
// the start of raw into in and, shifted by one, out. It returns the index of an
// id outside of [0, vocab), or -1.
func ReadWindow(in, out []uint32, raw []byte, width int, vocab uint32) int {
	seq := len(in)
	out = out[:seq]
	raw = raw[:(seq+1)*width]
	var top uint32
	if width == 2 {
		for i := range in {
			v := uint32(binary.LittleEndian.Uint16(raw[2*i:]))
			in[i] = v
			top = max(top, v)
		}
		out[seq-1] = uint32(binary.LittleEndian.Uint16(raw[2*seq:]))
	} else {
		for i := range in {
			v := binary.LittleEndian.Uint32(raw[4*i:])
			in[i] = v
			top = max(top, v)
		}
		out[seq-1] = binary.LittleEndian.Uint32(raw[4*seq:])
	}
	copy(out, in[1:])
	if max(top, out[seq-1]) < vocab {
		return -1
	}
	for i, v := range in {
		if v >= vocab {
			return i
		}
	}
	return seq
}

func (t *Tokens) reshuffle() {
	if t.shuffle {
		t.perm = order.New(uint64(t.windows), order.Mix(t.seed+order.Mix(uint64(t.pos.Epoch)+1)))
	}
}

// Position is where the next sample comes from.
func (t *Tokens) Position() Position { return t.pos }

// Seek goes to p; a position outside of this file's epochs is refused.
func (t *Tokens) Seek(p Position) error {
	if p.Epoch < 0 || p.Offset < 0 || p.Offset >= t.windows {
		return fmt.Errorf("%s: no sample %d in epoch %d, it has %d an epoch; resume with the data that the run began with",
			t.file.Path(), p.Offset, p.Epoch, t.windows)
	}
	t.pos = p
	t.reshuffle()
	return nil
}

// Close ends the use of the file.
func (t *Tokens) Close() error { return t.file.Close() }
