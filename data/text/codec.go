//go:build !js

package text

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"

	"bitnet/data/ctxio"
)

// codecs decompresses pages; what it needs for that serves all of a file.
type codecs struct {
	plain   []byte
	zstd    *zstd.Decoder
	zstream *zstd.Decoder
	gzip    *gzip.Reader
	brotli  *brotli.Reader
	input   *bufio.Reader
	buf     []byte // of the source of a large page
}

func (c *codecs) close() {
	for _, z := range []*zstd.Decoder{c.zstd, c.zstream} {
		if z != nil {
			z.Close()
		}
	}
}

func notRead(codec format.CompressionCodec) error {
	return fmt.Errorf("compression %v is not supported; write the file again with zstd, snappy, gzip, brotli or LZ4_RAW", codec)
}

// unpack decompresses a small page to exactly n bytes, which are valid until
// the next call.
func (c *codecs) unpack(codec format.CompressionCodec, packed []byte, n int) ([]byte, error) {
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
		c.plain = grow(c.plain, n)
		_, err = snappy.Decode(c.plain, packed)
	case format.Gzip, format.Brotli:
		var r io.Reader
		if r, err = c.reader(codec, bytes.NewReader(packed)); err != nil {
			break
		}
		c.plain = grow(c.plain, n)
		if _, err = io.ReadFull(r, c.plain); err != nil {
			break
		}
		if k, e := r.Read(make([]byte, 1)); k != 0 || e != io.EOF {
			err = fmt.Errorf("more than the %d bytes announced", n)
		}
	case format.Zstd:
		if c.zstd == nil {
			c.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxWindow(maxWindow))
			if err != nil {
				return nil, err
			}
		}
		c.plain, err = c.zstd.DecodeAll(packed, grow(c.plain, n)[:0:n])
		if err == nil && len(c.plain) != n {
			err = fmt.Errorf("%d bytes, %d announced", len(c.plain), n)
		}
	case format.Lz4Raw:
		var k int
		c.plain = grow(c.plain, n)
		if k, err = lz4.UncompressBlock(packed, c.plain); err == nil && k != n {
			err = fmt.Errorf("%d bytes, %d announced", k, n)
		}
	default:
		return nil, notRead(codec)
	}
	if err != nil {
		return nil, fmt.Errorf("%v: %w", codec, err)
	}
	return c.plain, nil
}

// reader decompresses the two codecs that have one way for all pages.
func (c *codecs) reader(codec format.CompressionCodec, r io.Reader) (io.Reader, error) {
	if codec == format.Brotli {
		if c.brotli == nil {
			c.brotli = new(brotli.Reader)
		}
		return c.brotli, c.brotli.Reset(r)
	}
	if c.gzip == nil {
		c.gzip = new(gzip.Reader)
	}
	return c.gzip, c.gzip.Reset(r)
}

// stream decompresses a large page to n bytes as they are asked for. The source
// is valid until the next call.
func (c *codecs) stream(ctx context.Context, codec format.CompressionCodec, packed *io.SectionReader, n int64) (*source, error) {
	if c.input == nil {
		c.input = bufio.NewReaderSize(nil, sourceChunk)
	}
	input := func() *bufio.Reader {
		packed.Seek(0, io.SeekStart)
		c.input.Reset(ctxio.Reader(ctx, packed))
		return c.input
	}
	var r io.Reader
	var err error
	switch codec {
	case format.Uncompressed:
		if packed.Size() != n {
			return nil, fmt.Errorf("%d bytes, %d announced", packed.Size(), n)
		}
		r = packed
	case format.Gzip, format.Brotli:
		r, err = c.reader(codec, input())
	case format.Zstd:
		if c.zstream == nil {
			c.zstream, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
			if err != nil {
				return nil, err
			}
		}
		r, err = c.zstream, c.zstream.Reset(input())
	case format.Snappy:
		r, err = snappyStream(input, n)
	case format.Lz4Raw:
		r = newLZ77(input(), new(lz4Elements), 1<<16)
	default:
		return nil, notRead(codec)
	}
	if err != nil {
		return nil, fmt.Errorf("%v: %w", codec, err)
	}
	if c.buf == nil {
		c.buf = make([]byte, sourceChunk)
	}
	return &source{r: r, left: n, ctx: ctx, buf: c.buf}, nil
}

// snappyStream looks through the block first: most writers compress 64 KiB at a
// time, but not all.
func snappyStream(input func() *bufio.Reader, n int64) (io.Reader, error) {
	r := input()
	if k, err := binary.ReadUvarint(r); err != nil || k != uint64(n) {
		return nil, fmt.Errorf("%d bytes, %d announced", k, n)
	}
	window, err := farthest(r, snappyElements{})
	if err != nil {
		return nil, err
	}
	if window > min(n, maxWindow/2) {
		return nil, fmt.Errorf("a copy from %d bytes before", window)
	}
	r = input()
	_, err = binary.ReadUvarint(r)
	return newLZ77(r, snappyElements{}, window), err
}
