package text

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
)

// pages decodes the pages of a column chunk of byte arrays, one page in memory
// at a time. Its buffers serve all chunks of a file.
type pages struct {
	packed, plain, levels, dictData []byte
	dict                            [][2]uint32 // start and end in dictData
	zstd                            *zstd.Decoder
	gzip                            *gzip.Reader
}

func newPages(Options) *pages { return &pages{} }

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

// read gives the rows values of a column chunk to each, in order.
func (p *pages) read(f *os.File, size int64, c *format.ColumnChunk, rows int64, optional bool, each func(text []byte, null bool) error) error {
	m := &c.MetaData
	start := m.DataPageOffset
	if d := m.DictionaryPageOffset; d > 0 && d < start {
		start = d
	}
	switch {
	case c.FilePath != "":
		return errors.New("its pages are in another file")
	case len(c.EncryptedColumnMetadata) > 0 || c.CryptoMetadata.Value != nil:
		return errors.New("the column is encrypted")
	case m.Type != format.ByteArray:
		return fmt.Errorf("the column holds %v, not strings", m.Type)
	case m.NumValues != rows:
		return fmt.Errorf("%d values in %d rows", m.NumValues, rows)
	case start < 4 || m.TotalCompressedSize < 0 || m.TotalCompressedSize > size-start:
		return fmt.Errorf("%d bytes of pages at %d, outside of the file's %d", m.TotalCompressedSize, start, size)
	}
	p.dict = nil
	r := bufio.NewReaderSize(io.NewSectionReader(f, start, m.TotalCompressedSize), 256<<10)
	left := m.TotalCompressedSize
	for rows > 0 {
		if left == 0 {
			return fmt.Errorf("the pages end %d rows early", rows)
		}
		var h pageHeader
		s := scanner{r: r, left: left, visit: h.visit}
		if err := s.structure(0, 0); err != nil {
			return fmt.Errorf("page header: %w", err)
		}
		left = s.left
		if h.packed < 0 || h.packed > left || h.plain < 0 || h.plain > maxPage || h.packed > maxPage {
			return fmt.Errorf("page of %d bytes (%d packed) does not fit; pages of up to %d bytes are read", h.plain, h.packed, maxPage)
		}
		left -= h.packed
		if h.kind != format.DataPage && h.kind != format.DataPageV2 && h.kind != format.DictionaryPage {
			if _, err := r.Discard(int(h.packed)); err != nil {
				return err
			}
			continue
		}
		p.packed = grow(p.packed, int(h.packed))
		if _, err := io.ReadFull(r, p.packed); err != nil {
			return fmt.Errorf("page: %w", err)
		}
		if h.checked && crc32.ChecksumIEEE(p.packed) != h.crc {
			return errors.New("page: the checksum does not fit: the file is damaged; fetch it again")
		}
		if h.kind == format.DictionaryPage {
			if err := p.dictionary(&h, m.Codec); err != nil {
				return fmt.Errorf("dictionary page: %w", err)
			}
			continue
		}
		if h.values < 0 || h.values > rows {
			return fmt.Errorf("page of %d values where %d rows are left", h.values, rows)
		}
		if err := p.data(&h, m.Codec, optional, each); err != nil {
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

// unpack decompresses to exactly n bytes, which stay until the next call.
func (p *pages) unpack(codec format.CompressionCodec, packed []byte, n int) ([]byte, error) {
	var err error
	switch codec {
	case format.Uncompressed:
		if len(packed) != n {
			return nil, fmt.Errorf("%d bytes, %d announced", len(packed), n)
		}
		return packed, nil
	case format.Snappy:
		if k, err := snappy.DecodedLen(packed); err != nil || k != n {
			return nil, fmt.Errorf("snappy: %d bytes, %d announced", k, n)
		}
		p.plain = grow(p.plain, n)
		_, err = snappy.Decode(p.plain, packed)
	case format.Gzip:
		if p.gzip == nil {
			p.gzip = new(gzip.Reader)
		}
		if err = p.gzip.Reset(bytes.NewReader(packed)); err != nil {
			break
		}
		p.plain = grow(p.plain, n)
		if _, err = io.ReadFull(p.gzip, p.plain); err != nil {
			break
		}
		if k, e := p.gzip.Read(make([]byte, 1)); k != 0 || e != io.EOF {
			err = fmt.Errorf("more than the %d bytes announced", n)
		}
	case format.Zstd:
		if p.zstd == nil {
			p.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxPage), zstd.WithDecoderMaxWindow(maxWindow))
			if err != nil {
				return nil, err
			}
		}
		p.plain, err = p.zstd.DecodeAll(packed, grow(p.plain, n)[:0])
		if err == nil && len(p.plain) != n {
			err = fmt.Errorf("%d bytes, %d announced", len(p.plain), n)
		}
	default:
		return nil, fmt.Errorf("compression %v is not read here; write the file again with zstd, snappy or gzip", codec)
	}
	if err != nil {
		return nil, fmt.Errorf("%v: %w", codec, err)
	}
	return p.plain, nil
}

func (p *pages) dictionary(h *pageHeader, codec format.CompressionCodec) error {
	if h.encoding != format.Plain && h.encoding != format.PlainDictionary {
		return fmt.Errorf("encoding %v", h.encoding)
	}
	b, err := p.unpack(codec, p.packed, int(h.plain))
	if err != nil {
		return err
	}
	if h.values < 0 || h.values > int64(len(b)/4) {
		return fmt.Errorf("%d values in %d bytes", h.values, len(b))
	}
	p.dictData = append(p.dictData[:0], b...)
	p.dict = make([][2]uint32, h.values)
	at := 0
	for i := range p.dict {
		v, next, err := plainValue(p.dictData, at)
		if err != nil {
			return fmt.Errorf("value %d: %w", i, err)
		}
		p.dict[i] = [2]uint32{uint32(next - len(v)), uint32(next)}
		at = next
	}
	return nil
}

// plainValue reads the length and the bytes of the value at b[at:].
func plainValue(b []byte, at int) (v []byte, next int, err error) {
	if len(b)-at < 4 {
		return nil, 0, io.ErrUnexpectedEOF
	}
	n := int64(binary.LittleEndian.Uint32(b[at:]))
	at += 4
	if n > int64(len(b)-at) {
		return nil, 0, fmt.Errorf("string of %d bytes where %d are left", n, len(b)-at)
	}
	return b[at : at+int(n)], at + int(n), nil
}

// data gives the values of a data page; each must copy what it keeps.
func (p *pages) data(h *pageHeader, codec format.CompressionCodec, optional bool, each func([]byte, bool) error) error {
	b := p.packed
	var levels []byte
	var err error
	if h.kind == format.DataPageV2 {
		// Levels are not compressed and have no length of their own.
		if h.defLen < 0 || h.repLen != 0 || h.defLen > int64(len(b)) || h.defLen > h.plain {
			return fmt.Errorf("page with %d and %d bytes of levels", h.repLen, h.defLen)
		}
		levels, b = b[:h.defLen], b[h.defLen:]
		if h.uncompressed {
			codec = format.Uncompressed
		}
		if b, err = p.unpack(codec, b, int(h.plain-h.defLen)); err != nil {
			return fmt.Errorf("page: %w", err)
		}
	} else {
		if b, err = p.unpack(codec, b, int(h.plain)); err != nil {
			return fmt.Errorf("page: %w", err)
		}
		if optional {
			if h.levelEncoding != format.RLE {
				return fmt.Errorf("page with levels encoded as %v", h.levelEncoding)
			}
			if levels, b, err = cutLevels(b); err != nil {
				return fmt.Errorf("page: %w", err)
			}
		}
	}
	next, err := p.values(h.encoding, b)
	if err != nil {
		return err
	}
	defined := hybrid{b: levels, width: 1}
	for i := range h.values {
		if optional {
			d, err := defined.next()
			if err != nil {
				return fmt.Errorf("level %d of a page: %w", i, err)
			}
			if d == 0 {
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

func cutLevels(b []byte) (levels, rest []byte, err error) {
	if len(b) < 4 {
		return nil, nil, io.ErrUnexpectedEOF
	}
	n := int64(binary.LittleEndian.Uint32(b))
	b = b[4:]
	if n > int64(len(b)) {
		return nil, nil, fmt.Errorf("%d bytes of levels where %d are left", n, len(b))
	}
	return b[:n], b[n:], nil
}

// values gives a function that reads one value after the other.
func (p *pages) values(encoding format.Encoding, b []byte) (func() ([]byte, error), error) {
	switch encoding {
	case format.Plain:
		at := 0
		return func() ([]byte, error) {
			v, next, err := plainValue(b, at)
			at = next
			return v, err
		}, nil
	case format.PlainDictionary, format.RLEDictionary:
		if p.dict == nil {
			return nil, errors.New("page of a dictionary that is not there")
		}
		if len(b) == 0 {
			return func() ([]byte, error) { return nil, io.ErrUnexpectedEOF }, nil
		}
		if b[0] > 32 {
			return nil, fmt.Errorf("page with indexes of %d bits", b[0])
		}
		index := hybrid{b: b[1:], width: uint(b[0])}
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
	case format.DeltaLengthByteArray:
		next, err := lengthValues(b)
		if err != nil {
			return nil, fmt.Errorf("lengths: %w", err)
		}
		return next, nil
	case format.DeltaByteArray:
		// How much each value shares with the one before, then the rest of each.
		shared, rest, err := numbers(b)
		if err != nil {
			return nil, fmt.Errorf("shared lengths: %w", err)
		}
		next, err := lengthValues(rest)
		if err != nil {
			return nil, fmt.Errorf("lengths: %w", err)
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
			last = append(last[:n], tail...)
			return last, err
		}, nil
	}
	return nil, fmt.Errorf("page encoded as %v, which is not read here; write the file again with plain or dictionary pages", encoding)
}

// numbers finds the end of the DELTA_BINARY_PACKED numbers that b begins with.
func numbers(b []byte) (d delta, rest []byte, err error) {
	d = delta{b: b}
	if err := d.begin(); err != nil {
		return d, nil, err
	}
	end := d
	for end.left > 0 {
		if _, err := end.next(); err != nil {
			return d, nil, err
		}
	}
	return d, end.b, nil
}

// lengthValues reads values whose lengths stand before them all.
func lengthValues(b []byte) (func() ([]byte, error), error) {
	lengths, rest, err := numbers(b)
	if err != nil {
		return nil, err
	}
	return func() ([]byte, error) {
		n, err := lengths.next()
		if err != nil {
			return nil, err
		}
		if n < 0 || n > int64(len(rest)) {
			return nil, fmt.Errorf("string of %d bytes where %d are left", n, len(rest))
		}
		v := rest[:n]
		rest = rest[n:]
		return v, nil
	}, nil
}
