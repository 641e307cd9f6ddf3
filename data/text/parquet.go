//go:build !js

package text

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// readParquet gives the rows of one column of strings, row group by row group.
// The metadata is read with parquet-go's thrift and format packages. The pages
// are decoded here: parquet-go's page decoders trust run lengths, dictionary
// indexes and sizes of compressed data, so that a damaged file can take all
// memory, and loop for ever on damaged LZ4.
func readParquet(ctx context.Context, f io.ReaderAt, size int64, path string, skip int64, o Options, yield func(Document, error) bool) error {
	meta, err := footer(f, size)
	if err != nil {
		return fmt.Errorf("parquet footer: %w", err)
	}
	col, err := findColumn(meta, o.Field)
	if err != nil {
		return err
	}
	// Runs of nulls take no bytes, so that a small file could claim rows for
	// years.
	if rows := totalRows(meta); rows < 0 || rows > rowsPerByte*size {
		return fmt.Errorf("parquet footer: %d rows in %d bytes", rows, size)
	}
	var first int64 // row of the file that the row group begins with
	p := pages{max: o.MaxDocument}
	defer p.close()
	for i := range meta.RowGroups {
		g := &meta.RowGroups[i]
		if g.NumRows < 0 || col.leaf >= len(g.Columns) {
			return fmt.Errorf("row group %d: %d rows, %d columns, column %d wanted", i, g.NumRows, len(g.Columns), col.leaf)
		}
		if skip >= first+g.NumRows {
			first += g.NumRows
			continue
		}
		c := &g.Columns[col.leaf]
		row := first
		err := p.read(ctx, f, size, c, g.NumRows, col, func(text []byte, null bool) error {
			at := row
			row++
			if null || len(text) == 0 || at < skip {
				return nil
			}
			// Rows are as good as evenly spread over the bytes of a file.
			read := int64(float64(size) * float64(row) / float64(max(meta.NumRows, row)))
			if !yield(Document{Text: string(text), File: path, Index: at, Read: read}, nil) {
				return errStopped
			}
			return nil
		})
		if err == errStopped || ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return err
		}
		if err != nil {
			return fmt.Errorf("row group %d, row %d: %w", i, row, err)
		}
		first += g.NumRows
	}
	return nil
}

// totalRows adds up the row groups; it is negative if that makes no sense.
func totalRows(meta *format.FileMetaData) int64 {
	var sum int64
	for i := range meta.RowGroups {
		n := meta.RowGroups[i].NumRows
		if n < 0 || n > 1<<40 || sum > 1<<50 {
			return -1
		}
		sum += n
	}
	return sum
}

// footer reads and checks the metadata at the end of a parquet file.
func footer(r io.ReaderAt, size int64) (*format.FileMetaData, error) {
	var head, tail [8]byte
	if size < 12 {
		return nil, fmt.Errorf("%d bytes are too few for a parquet file", size)
	}
	if _, err := r.ReadAt(head[:4], 0); err != nil {
		return nil, err
	}
	if _, err := r.ReadAt(tail[:], size-8); err != nil {
		return nil, err
	}
	switch {
	case string(tail[4:]) == "PARE" || string(head[:4]) == "PARE":
		return nil, errors.New("the file is encrypted")
	case string(head[:4]) != "PAR1":
		return nil, errors.New("not a parquet file: it does not begin with PAR1")
	case string(tail[4:]) != "PAR1":
		return nil, errors.New("the end is missing: the file was cut short; fetch it again")
	}
	n := int64(binary.LittleEndian.Uint32(tail[:]))
	if n > size-12 || n > maxFooter {
		return nil, fmt.Errorf("its length of %d does not fit", n)
	}
	b := make([]byte, n)
	if _, err := r.ReadAt(b, size-8-n); err != nil {
		return nil, err
	}
	return metadata(b)
}

// metadata decodes a footer, after a check that its structure is sound.
func metadata(b []byte) (meta *format.FileMetaData, err error) {
	s := scanner{r: bufio.NewReader(bytes.NewReader(b)), left: int64(len(b)), structures: maxStructures}
	if err := s.structure(0, 0); err != nil {
		return nil, err
	}
	defer func() {
		if r := recover(); r != nil {
			meta, err = nil, fmt.Errorf("damaged (%v)", r)
		}
	}()
	meta = new(format.FileMetaData)
	if err := thrift.Unmarshal(new(thrift.CompactProtocol), b, meta); err != nil {
		return nil, err
	}
	return meta, nil
}
