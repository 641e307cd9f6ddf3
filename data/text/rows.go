package text

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"

	"bitnet/data/plainfile"
)

// Row is one record of a file of records, as a JSON object.
type Row struct {
	JSON  []byte // valid until the next row
	Place string // in the file, such as "line 3", for messages
	Read  int64  // about how many bytes of the file have been read so far
}

// Rows reads the records of a file in order: lines of JSON, the elements of one
// JSON array, or rows of parquet. Of parquet it reads the named columns that the
// file has: strings, lists of strings, lists of groups of strings, groups of lists
// of strings, and with Options.Integers whole numbers in the place of strings. The
// first error is the last thing given.
func Rows(ctx context.Context, path string, columns []string, o Options) iter.Seq2[Row, error] {
	o = o.withDefaults()
	return func(yield func(Row, error) bool) {
		err := o.Check()
		if err == nil {
			err = rowsOf(ctx, path, columns, o, yield)
		}
		if err = inFile(ctx, path, err); err != nil {
			yield(Row{}, err)
		}
	}
}

func rowsOf(ctx context.Context, path string, columns []string, o Options, yield func(Row, error) bool) error {
	switch FormatOf(path) {
	case Parquet:
		f, err := plainfile.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		return parquetRows(ctx, f, info.Size(), columns, o, yield)
	case JSONLines:
	default:
		return errors.New("records are read from .jsonl, .json (also .gz, .zst) and .parquet files")
	}
	s, err := openStream(ctx, path)
	if err != nil {
		return err
	}
	defer s.Close()
	if isArray(s.Reader) {
		return arrayRows(ctx, s, o, yield)
	}
	return lineRows(ctx, s, o, yield)
}

// isArray reports whether the first byte that is not white space begins a JSON array.
func isArray(r *bufio.Reader) bool {
	head, _ := r.Peek(512)
	head = bytes.TrimLeft(head, " \t\r\n")
	return len(head) > 0 && head[0] == '['
}

func lineRows(ctx context.Context, s *stream, o Options, yield func(Row, error) bool) error {
	limit := lineLimit(o.MaxDocument)
	var buf []byte
	for number := int64(1); ; number++ {
		line, err := readLine(ctx, s.Reader, buf[:0], limit)
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		if err != nil && err != io.EOF {
			return fmt.Errorf("line %d: %w", number, err)
		}
		buf = line
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			continue
		}
		if err := isObject(line); err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if !yield(Row{JSON: line, Place: fmt.Sprintf("line %d", number), Read: s.read}, nil) {
			return errStopped
		}
	}
}

func isObject(text []byte) error {
	if !json.Valid(text) {
		return notJSON(text)
	}
	if text[0] != '{' {
		return errors.New("not a JSON object")
	}
	return nil
}

// arrayRows reads the elements of an array one by one, so that only one of them
// is in memory.
func arrayRows(ctx context.Context, s *stream, o Options, yield func(Row, error) bool) error {
	most := int64(lineLimit(o.MaxDocument))
	limit := &limited{s.Reader, most, most}
	d := json.NewDecoder(limit)
	if _, err := d.Token(); err != nil { // the bracket
		return err
	}
	for number := 1; d.More(); number++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		limit.left = limit.most
		var row json.RawMessage
		err := d.Decode(&row)
		if err == nil {
			err = isObject(row)
		}
		if err != nil {
			return fmt.Errorf("element %d: %w", number, cutShort(err))
		}
		if !yield(Row{JSON: row, Place: fmt.Sprintf("element %d", number), Read: s.read}, nil) {
			return errStopped
		}
	}
	limit.left = limit.most
	if _, err := d.Token(); err != nil { // the closing bracket
		return fmt.Errorf("the end of the array: %w", cutShort(err))
	}
	return nil
}

func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// limited gives at most so many bytes until left is set again.
type limited struct {
	r          io.Reader
	most, left int64
}

func (l *limited) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, fmt.Errorf("longer than %d bytes; split it", l.most)
	}
	n, err := l.r.Read(p)
	l.left -= int64(n)
	return n, err
}
