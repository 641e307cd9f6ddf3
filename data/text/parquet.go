package text

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
)

// readParquet gives the rows of one top-level column of strings, row group by
// row group. The metadata is read with parquet-go's thrift and format packages.
// The pages are decoded here: parquet-go's page decoders trust run lengths,
// dictionary indexes and sizes of compressed data, so that a damaged file can
// take all memory, and loop for ever on damaged LZ4.
func readParquet(path string, skip int64, o Options, yield func(Document, error) bool) error {
	f, err := os.Open(path)
	if err != nil {
		return errors.Unwrap(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	meta, err := footer(f, info.Size())
	if err != nil {
		return fmt.Errorf("parquet footer: %w", err)
	}
	leaf, optional, err := column(meta, o.Field)
	if err != nil {
		return err
	}
	// Runs of nulls take no bytes, so that a small file could claim rows for
	// years.
	if rows := totalRows(meta); rows < 0 || rows > rowsPerByte*info.Size() {
		return fmt.Errorf("parquet footer: %d rows in %d bytes", rows, info.Size())
	}
	var first int64 // row of the file that the row group begins with
	p := newPages(o)
	for i := range meta.RowGroups {
		g := &meta.RowGroups[i]
		if g.NumRows < 0 || leaf >= len(g.Columns) {
			return fmt.Errorf("row group %d: %d rows, %d columns, column %d wanted", i, g.NumRows, len(g.Columns), leaf)
		}
		if skip >= first+g.NumRows {
			first += g.NumRows
			continue
		}
		c := &g.Columns[leaf]
		row := first
		err := p.read(f, info.Size(), c, g.NumRows, optional, func(text []byte, null bool) error {
			at := row
			row++
			if null || len(text) == 0 || at < skip {
				return nil
			}
			if len(text) > o.MaxDocument {
				return tooLong(len(text), o)
			}
			// Rows are as good as evenly spread over the bytes of a file.
			read := int64(float64(info.Size()) * float64(row) / float64(max(meta.NumRows, row)))
			if !yield(Document{Text: string(text), File: path, Index: at, Read: read}, nil) {
				return errStopped
			}
			return nil
		})
		if err == errStopped {
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
		return nil, errors.New("the end is missing: the file was cut; fetch it again")
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

// metadata decodes a footer, after a look at whether its structure is sound.
func metadata(b []byte) (meta *format.FileMetaData, err error) {
	s := scanner{r: bufio.NewReader(bytes.NewReader(b)), left: int64(len(b))}
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

// column finds the leaf of a top-level column of strings by its name.
func column(meta *format.FileMetaData, name string) (leaf int, optional bool, err error) {
	var names []string
	schema := meta.Schema
	for i := 1; i < len(schema); {
		e := &schema[i]
		names = append(names, e.Name)
		if e.Name == name {
			switch {
			case e.NumChildren.V > 0 || !e.Type.Valid || e.Type.V != format.ByteArray:
				return 0, false, fmt.Errorf("column %q does not hold strings; choose another with --field", name)
			case e.RepetitionType.Valid && e.RepetitionType.V == format.Repeated:
				return 0, false, fmt.Errorf("column %q is a list; choose another with --field", name)
			}
			return leaf, e.RepetitionType.Valid && e.RepetitionType.V == format.Optional, nil
		}
		// Pass over the column with all that is below it.
		for open := int64(1); open > 0; i++ {
			if i >= len(schema) || schema[i].NumChildren.V < 0 {
				return 0, false, errors.New("parquet schema: damaged")
			}
			if schema[i].NumChildren.V == 0 {
				leaf++
			}
			open += int64(schema[i].NumChildren.V) - 1
		}
	}
	if len(names) > 20 {
		names = append(names[:20], "...")
	}
	return 0, false, fmt.Errorf("no column %q, the file has %.500q; choose one with --field", name, strings.Join(names, ", "))
}
