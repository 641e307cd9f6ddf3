package text

import (
	"context"
	"errors"
	"io"
)

// The program of a browser is downloaded by each visitor, so it leaves out what
// reads parquet and zstd, which is as large as a third of it.

// unpackZstd fails.
func unpackZstd(io.Reader) (plain io.Reader, done func(), err error) {
	return nil, nil, errors.New("a page does not read .zst: unpack the file, or pack it as .gz")
}

// readParquet fails.
func readParquet(context.Context, io.ReaderAt, int64, string, int64, Options, func(Document, error) bool) error {
	return errors.New("a page does not read parquet: convert the file to text or JSON lines")
}

// parquetRows fails.
func parquetRows(context.Context, io.ReaderAt, int64, []string, Options, func(Row, error) bool) error {
	return errors.New("a page does not read parquet: convert the file to JSON lines")
}
