//go:build !js

package text

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"

	"github.com/parquet-go/parquet-go/format"

	"bitnet/data/ctxio"
)

// smallPage is up to how many bytes a page is decompressed in one piece. Of a
// larger one only as much is in memory as its compression and its longest string
// need. A test changes it.
var smallPage int64 = 8 << 20

// Limits of pages that no honest file meets.
const (
	maxPage       = 256 << 20
	maxDictionary = 64 << 20
	maxLevels     = 32 << 20
)

// pages decodes the pages of a column chunk of strings or whole numbers, one page
// at a time. A number is given as its decimal digits.
// Its buffers serve all chunks of a file.
type pages struct {
	codecs
	max      int // bytes of a string
	integer  int // bytes of a number; 0 for strings
	digits   []byte
	packed   []byte
	levels   []byte
	dictData []byte
	dict     [][2]uint32 // start and end in dictData; nil if there is none
	numbers  [2][]byte

	repeats []byte // repetition levels of the page
	// The levels of the value that an eachValue gets.
	repetition, definition uint32
}

// pageHeader holds the fields of format.PageHeader that are used here.
type pageHeader struct {
	kind           format.PageType
	plain, packed  int64 // bytes
	crc            uint32
	checked        bool
	values         int64
	encoding       format.Encoding
	levelEncoding  format.Encoding
	defLen, repLen int64 // version 2
	uncompressed   bool  // version 2
}

func (h *pageHeader) visit(parent, id int16, v int64) {
	switch parent {
	case 0:
		switch id {
		case 1:
			h.kind = format.PageType(v)
		case 2:
			h.plain = v
		case 3:
			h.packed = v
		case 4:
			h.crc, h.checked = uint32(v), true
		}
	case 5, 7: // data page, dictionary page
		switch id {
		case 1:
			h.values = v
		case 2:
			h.encoding = format.Encoding(v)
		case 3:
			h.levelEncoding = format.Encoding(v)
		}
	case 8: // data page, version 2
		switch id {
		case 1:
			h.values = v
		case 4:
			h.encoding = format.Encoding(v)
		case 5:
			h.defLen = v
		case 6:
			h.repLen = v
		case 7:
			h.uncompressed = v == 0
		}
	}
}

// eachValue gets the values of a column in order; it must copy what it keeps.
type eachValue func(text []byte, null bool) error

// read gives the rows values of a column chunk to each; of a column in a list
// that is all values of all rows.
func (p *pages) read(ctx context.Context, f io.ReaderAt, size int64, c *format.ColumnChunk, rows int64, col column, each eachValue) error {
	m := &c.MetaData
	start := m.DataPageOffset
	if d := m.DictionaryPageOffset; d > 0 && d < start {
		start = d
	}
	switch {
	case c.FilePath != "":
		return errors.New("its pages are in a different file")
	case len(c.EncryptedColumnMetadata) > 0 || c.CryptoMetadata.Value != nil:
		return errors.New("the column is encrypted")
	case m.Type != col.kind():
		return fmt.Errorf("the column holds %v, not %v as the schema says", m.Type, col.kind())
	case m.NumValues != rows:
		return fmt.Errorf("%d values in %d rows", m.NumValues, rows)
	case start < 4 || m.TotalCompressedSize < 0 || m.TotalCompressedSize > size-start:
		return fmt.Errorf("%d bytes of pages at %d, outside of the file's %d", m.TotalCompressedSize, start, size)
	}
	p.dict, p.integer = nil, col.integer
	left := m.TotalCompressedSize
	rest := func() *io.SectionReader { return io.NewSectionReader(f, start+m.TotalCompressedSize-left, left) }
	r := bufio.NewReaderSize(rest(), sourceChunk)
	for rows > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		if left == 0 {
			return fmt.Errorf("the pages end %d rows early", rows)
		}
		var h pageHeader
		s := scanner{r: r, left: left, visit: h.visit, structures: maxStructures}
		if err := s.structure(0, 0); err != nil {
			return fmt.Errorf("page header: %w", err)
		}
		left = s.left
		if h.packed < 0 || h.packed > left || h.plain < 0 || h.plain > maxPage || h.packed > maxPage {
			return fmt.Errorf("page of %d bytes (%d compressed) does not fit; pages of up to %d bytes are read", h.plain, h.packed, maxPage)
		}
		body := io.NewSectionReader(f, start+m.TotalCompressedSize-left, h.packed)
		left -= h.packed
		// Small pages come through r, which reads ahead; r passes over the others.
		small := max(h.plain, h.packed) <= smallPage
		if small {
			p.packed = grow(p.packed, int(h.packed))
			if _, err := io.ReadFull(r, p.packed); err != nil {
				return fmt.Errorf("page: %w", unexpected(err))
			}
		} else {
			r.Reset(rest())
		}
		if h.kind != format.DataPage && h.kind != format.DataPageV2 && h.kind != format.DictionaryPage {
			continue
		}
		if err := p.check(ctx, &h, body, small); err != nil {
			return fmt.Errorf("page: %w", err)
		}
		if h.kind == format.DictionaryPage {
			if err := p.dictionary(ctx, &h, m.Codec, body, small); err != nil {
				return fmt.Errorf("dictionary page: %w", err)
			}
			continue
		}
		if h.values < 0 || h.values > rows {
			return fmt.Errorf("page of %d values where %d rows are left", h.values, rows)
		}
		if err := p.data(ctx, &h, m.Codec, body, small, col, each); err != nil {
			return err
		}
		rows -= h.values
	}
	return nil
}

func grow(b []byte, n int) []byte {
	if cap(b) < n {
		return make([]byte, n)
	}
	return b[:n]
}

// check compares the page with its checksum, if it has one.
func (p *pages) check(ctx context.Context, h *pageHeader, body *io.SectionReader, small bool) error {
	if !h.checked {
		return nil
	}
	sum := crc32.NewIEEE()
	if small {
		sum.Write(p.packed)
	} else if _, err := io.Copy(sum, ctxio.Reader(ctx, body)); err != nil {
		return err
	}
	if sum.Sum32() != h.crc {
		return errors.New("the checksum is wrong: the file is damaged; fetch it again")
	}
	return nil
}

// open gives the decompressed bytes of a page after its first skip bytes,
// which are not compressed.
func (p *pages) open(ctx context.Context, h *pageHeader, codec format.CompressionCodec, body *io.SectionReader, small bool, skip int64) (*source, error) {
	n := h.plain - skip
	if small {
		b, err := p.unpack(codec, p.packed[skip:], int(n))
		return &source{b: b, ctx: ctx}, err
	}
	return p.stream(ctx, codec, io.NewSectionReader(body, skip, h.packed-skip), n)
}

func (p *pages) dictionary(ctx context.Context, h *pageHeader, codec format.CompressionCodec, body *io.SectionReader, small bool) error {
	if h.encoding != format.Plain && h.encoding != format.PlainDictionary {
		return fmt.Errorf("encoding %v", h.encoding)
	}
	if h.values < 0 || h.values > h.plain/4 || p.integer > 0 && h.values > h.plain/int64(p.integer) {
		return fmt.Errorf("%d values in %d bytes", h.values, h.plain)
	}
	s, err := p.open(ctx, h, codec, body, small, 0)
	if err != nil {
		return err
	}
	if p.dictData, err = s.all(p.dictData[:0], h.plain, maxDictionary); err != nil {
		return err
	}
	p.dict = make([][2]uint32, h.values)
	values := source{b: p.dictData, ctx: ctx}
	for i := range p.dict {
		v, err := p.plainValue(&values)
		if err != nil {
			return fmt.Errorf("value %d: %w", i, err)
		}
		end := len(p.dictData) - len(values.b)
		p.dict[i] = [2]uint32{uint32(end - len(v)), uint32(end)}
	}
	return nil
}

// data gives the values of a data page to each.
func (p *pages) data(ctx context.Context, h *pageHeader, codec format.CompressionCodec, body *io.SectionReader, small bool, col column, each eachValue) error {
	p.levels = p.levels[:0]
	var s *source
	var err error
	if h.kind == format.DataPageV2 {
		// Levels are not compressed and have no length of their own.
		most := min(h.packed, h.plain, maxLevels)
		if h.defLen < 0 || h.repLen < 0 || h.repLen > 0 && col.repeats == 0 || h.defLen > most || h.repLen > most-h.defLen {
			return fmt.Errorf("page with %d and %d bytes of levels", h.repLen, h.defLen)
		}
		both := grow(p.levels, int(h.repLen+h.defLen))
		if small {
			copy(both, p.packed)
		} else if _, err := io.ReadFull(io.NewSectionReader(body, 0, h.repLen+h.defLen), both); err != nil {
			return fmt.Errorf("page: %w", unexpected(err))
		}
		p.repeats, p.levels = append(p.repeats[:0], both[:h.repLen]...), both[h.repLen:]
		if h.uncompressed {
			codec = format.Uncompressed
		}
		s, err = p.open(ctx, h, codec, body, small, h.repLen+h.defLen)
	} else if s, err = p.open(ctx, h, codec, body, small, 0); err == nil && col.levels > 0 {
		if h.levelEncoding != format.RLE {
			return fmt.Errorf("page with levels encoded as %v", h.levelEncoding)
		}
		if col.repeats > 0 {
			p.repeats, err = cutLevels(s, p.repeats[:0])
		}
		if err == nil {
			p.levels, err = cutLevels(s, p.levels)
		}
	}
	if err != nil {
		return fmt.Errorf("page: %w", err)
	}
	next, err := p.values(h, s)
	if err != nil {
		return err
	}
	defined := hybrid{s: &source{b: p.levels, ctx: ctx}, width: col.width()}
	repeated := hybrid{s: &source{b: p.repeats, ctx: ctx}, width: 1}
	for i := range h.values {
		if i%4096 == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
		}
		if col.repeats > 0 {
			if p.repetition, err = repeated.next(); err != nil {
				return fmt.Errorf("repetition level %d of a page: %w", i, err)
			}
		}
		if col.levels > 0 {
			d, err := defined.next()
			if err != nil {
				return fmt.Errorf("level %d of a page: %w", i, err)
			}
			p.definition = d
			if d < col.levels {
				if err := each(nil, true); err != nil {
					return err
				}
				continue
			}
		}
		v, err := next()
		if err != nil {
			return fmt.Errorf("value %d of a page: %w", i, err)
		}
		if err := each(v, false); err != nil {
			return err
		}
	}
	return nil
}

// cutLevels takes levels, with their length, off the beginning of a page onto dst.
func cutLevels(s *source, dst []byte) ([]byte, error) {
	head, err := s.take(4)
	if err != nil {
		return dst, err
	}
	n := int64(binary.LittleEndian.Uint32(head))
	if n > s.remaining() {
		return dst, fmt.Errorf("%d bytes of levels where %d are left", n, s.remaining())
	}
	if dst, err = s.all(dst, n, maxLevels); err != nil {
		return dst, fmt.Errorf("levels: %w", err)
	}
	return dst, nil
}

// values gives a function that reads one value after the other; each value is
// valid until the next.
func (p *pages) values(h *pageHeader, s *source) (func() ([]byte, error), error) {
	switch h.encoding {
	case format.Plain:
		return p.decimal(func() ([]byte, error) { return p.plainValue(s) }), nil
	case format.PlainDictionary, format.RLEDictionary:
		next, err := p.indexed(s)
		return p.decimal(next), err
	case format.DeltaBinaryPacked:
		if p.integer > 0 {
			return p.deltaValues(h, s)
		}
	case format.DeltaLengthByteArray:
		return p.lengthValues(h, s)
	case format.DeltaByteArray:
		// How much each value shares with the one before, then the rest of each.
		shared, err := numbers(s, h.values, &p.numbers[1])
		if err != nil {
			return nil, fmt.Errorf("shared lengths: %w", err)
		}
		next, err := p.lengthValues(h, s)
		if err != nil {
			return nil, err
		}
		var last []byte
		return func() ([]byte, error) {
			n, err := shared.next()
			if err != nil {
				return nil, err
			}
			if n < 0 || n > int64(len(last)) {
				return nil, fmt.Errorf("%d bytes shared with a string of %d", n, len(last))
			}
			tail, err := next()
			if err != nil {
				return nil, err
			}
			if n+int64(len(tail)) > int64(p.max) {
				return nil, tooLong(n+int64(len(tail)), p.max)
			}
			last = append(last[:n], tail...)
			return last, nil
		}, nil
	}
	return nil, fmt.Errorf("pages encoded as %v are not supported; write the file again with plain or dictionary pages", h.encoding)
}

// plainValue reads a value as pages and dictionaries have it.
func (p *pages) plainValue(s *source) ([]byte, error) {
	if p.integer > 0 {
		return s.take(p.integer)
	}
	return s.value(p.max)
}

// decimal makes digits of the bytes of numbers.
func (p *pages) decimal(next func() ([]byte, error)) func() ([]byte, error) {
	if p.integer == 0 {
		return next
	}
	return func() ([]byte, error) {
		b, err := next()
		if err != nil {
			return nil, err
		}
		if p.integer == 4 {
			return p.number(int64(int32(binary.LittleEndian.Uint32(b)))), nil
		}
		return p.number(int64(binary.LittleEndian.Uint64(b))), nil
	}
}

func (p *pages) number(v int64) []byte {
	p.digits = strconv.AppendInt(p.digits[:0], v, 10)
	return p.digits
}

// deltaValues reads numbers as differences.
func (p *pages) deltaValues(h *pageHeader, s *source) (func() ([]byte, error), error) {
	values, err := numbers(s, h.values, &p.numbers[0])
	if err != nil {
		return nil, err
	}
	return func() ([]byte, error) {
		v, err := values.next()
		if p.integer == 4 {
			v = int64(int32(v))
		}
		return p.number(v), err
	}, nil
}

// indexed reads indexes into the dictionary.
func (p *pages) indexed(s *source) (func() ([]byte, error), error) {
	if p.dict == nil {
		return nil, errors.New("page of a dictionary that is missing")
	}
	if s.remaining() == 0 {
		return func() ([]byte, error) { return nil, io.ErrUnexpectedEOF }, nil
	}
	width, err := s.take(1)
	if err != nil {
		return nil, err
	}
	if width[0] > 32 {
		return nil, fmt.Errorf("page with indexes of %d bits", width[0])
	}
	index := hybrid{s: s, width: uint(width[0])}
	return func() ([]byte, error) {
		i, err := index.next()
		if err != nil {
			return nil, err
		}
		if int64(i) >= int64(len(p.dict)) {
			return nil, fmt.Errorf("index %d in a dictionary of %d", i, len(p.dict))
		}
		return p.dictData[p.dict[i][0]:p.dict[i][1]], nil
	}, nil
}

// lengthValues reads values whose lengths come before them all.
func (p *pages) lengthValues(h *pageHeader, s *source) (func() ([]byte, error), error) {
	lengths, err := numbers(s, h.values, &p.numbers[0])
	if err != nil {
		return nil, fmt.Errorf("lengths: %w", err)
	}
	return func() ([]byte, error) {
		n, err := lengths.next()
		if err != nil {
			return nil, err
		}
		return s.text(n, p.max)
	}, nil
}
