// Package text reads documents out of files: parquet, JSON lines (plain, gzip,
// zstd) and text. Files are not trusted: what is damaged or hostile gives an
// error that names file and place, and memory is bounded whatever they claim.
package text

import (
	"fmt"
	"iter"
	"path/filepath"
	"strings"
)

// Document is one text of a corpus.
type Document struct {
	Text  string
	File  string
	Index int64 // row, line or piece within the file, from 0
	Read  int64 // about how many bytes of the file have been read so far
}

// Options say how to read. The zero value reads the field "text".
type Options struct {
	Field       string // parquet column or JSON field; default "text"
	Split       string // text files: what stands between documents, such as <|endoftext|>
	MaxDocument int    // bytes of one document; default 16 MiB
}

// Limits that no honest file meets.
const (
	defaultMaxDocument = 16 << 20
	maxPage            = 256 << 20 // bytes of a parquet page
	maxFooter          = 64 << 20  // bytes of a parquet footer
	maxWindow          = 128 << 20 // bytes of a zstd window (zstd --long=27)
	rowsPerByte        = 64        // of a parquet file
	// A text file without Split is cut near this many bytes, at a blank line
	// if there is one.
	pieceSize = 64 << 10
)

func (o Options) withDefaults() Options {
	if o.Field == "" {
		o.Field = "text"
	}
	if o.MaxDocument == 0 {
		o.MaxDocument = defaultMaxDocument
	}
	return o
}

// Format is how a file holds documents.
type Format int

const (
	Unknown Format = iota
	Parquet
	JSONLines
	Text
)

func (f Format) String() string {
	return [...]string{"unknown", "parquet", "JSON lines", "text"}[f]
}

// FormatOf tells the format from the name of a file.
func FormatOf(path string) Format {
	switch extension(path) {
	case ".parquet":
		return Parquet
	case ".jsonl", ".ndjson", ".json":
		return JSONLines
	case ".txt", ".md", ".markdown", ".rst", ".text":
		return Text
	}
	return Unknown
}

// extension is how a name ends, in small letters, without what says that the
// file is compressed.
func extension(path string) string {
	name := strings.ToLower(filepath.Base(path))
	for _, packed := range []string{".gz", ".zst", ".zstd"} {
		name = strings.TrimSuffix(name, packed)
	}
	return filepath.Ext(name)
}

// Documents reads the documents of a file in order, from that with index skip
// on. Documents without text (null, or empty) are left out, but counted by
// Index. The first error is the last thing given. A file of unknown format is
// read as text.
func Documents(path string, skip int64, o Options) iter.Seq2[Document, error] {
	o = o.withDefaults()
	return func(yield func(Document, error) bool) {
		var err error
		switch FormatOf(path) {
		case Parquet:
			err = readParquet(path, skip, o, yield)
		case JSONLines:
			err = readLines(path, skip, o, yield)
		default:
			err = readText(path, skip, o, yield)
		}
		if err != nil && err != errStopped {
			yield(Document{}, fmt.Errorf("%s: %w", path, err))
		}
	}
}

// errStopped says that yield wants no more.
var errStopped = fmt.Errorf("stopped")

func tooLong(n int, o Options) error {
	return fmt.Errorf("document of %d bytes or more is longer than %d; raise the limit (--max-document) or split it", n, o.MaxDocument)
}
