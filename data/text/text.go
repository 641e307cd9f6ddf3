// Package text reads documents out of files: parquet, JSON lines and text, plain
// or compressed.
//
// Find lists the files below a folder, Documents reads those of one file. Files
// are not trusted: what is damaged or hostile gives an error that names the file
// and the place in it, and memory is bounded by Options.MaxDocument, whatever a
// file claims. Reading ends soon after its context is cancelled.
package text

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"path/filepath"
	"strings"

	"bitnet/data/plainfile"
	"bitnet/data/printable"
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
	Field       string // parquet column or JSON field, a.b for b in a; default "text"
	Split       string // text files: what separates documents, such as <|endoftext|>
	MaxDocument int    // bytes of one document, up to MostDocument; default 16 MiB
	Integers    bool   // Rows also reads columns of parquet that hold whole numbers
}

// MostDocument is the most that Options.MaxDocument may be. A document is in
// memory several times while it is decoded and encoded.
const MostDocument = 128 << 20

// Limits that no honest file meets.
const (
	defaultMaxDocument = 16 << 20
	maxFooter          = 64 << 20  // bytes of a parquet footer
	maxStructures      = 1 << 19   // in the lists of a parquet footer
	maxWindow          = 128 << 20 // bytes of a zstd window (zstd --long=27)
	rowsPerByte        = 64        // of a parquet file
	// A text file without Split is cut near this many bytes, at a blank line
	// if there is one.
	pieceSize = 64 << 10
)

// Check says what is wrong with o, if anything.
func (o Options) Check() error {
	if o.MaxDocument < 0 || o.MaxDocument > MostDocument {
		return fmt.Errorf("--max-document %d must be from 1 to %d bytes; split longer documents", o.MaxDocument, MostDocument)
	}
	return nil
}

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

// extension is how a name ends, in lower case, without the ending that says
// that the file is compressed.
func extension(path string) string {
	name := strings.ToLower(filepath.Base(path))
	for _, packed := range []string{".gz", ".zst", ".zstd"} {
		name = strings.TrimSuffix(name, packed)
	}
	return filepath.Ext(name)
}

// Documents reads the documents of a file in order, from the one with index
// skip. Documents without text (null, or empty) are left out, but counted by
// Index. The first error is the last thing given. A file of unknown format is
// read as text.
func Documents(ctx context.Context, path string, skip int64, o Options) iter.Seq2[Document, error] {
	o = o.withDefaults()
	return func(yield func(Document, error) bool) {
		err := o.Check()
		if err == nil {
			err = readFile(ctx, path, skip, o, yield)
		}
		if err = inFile(ctx, path, err); err != nil {
			yield(Document{}, err)
		}
	}
}

// inFile is the error that a reader of a file gives for the one that ended it: nil if
// nobody reads on.
func inFile(ctx context.Context, path string, err error) error {
	switch {
	case err == nil, err == errStopped:
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%s: %w: the file is cut short or damaged; fetch it again", printable.String(path), err)
	}
	return fmt.Errorf("%s: %w", printable.String(path), err)
}

func readFile(ctx context.Context, path string, skip int64, o Options, yield func(Document, error) bool) error {
	kind := FormatOf(path)
	if kind == Parquet {
		f, err := plainfile.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			return err
		}
		return readParquet(ctx, f, info.Size(), path, skip, o, yield)
	}
	s, err := openStream(ctx, path)
	if err != nil {
		return err
	}
	defer s.Close()
	if kind == JSONLines {
		return readLines(ctx, s, path, skip, o, yield)
	}
	return readText(ctx, s, path, skip, o, yield)
}

// errStopped says that yield wants no more.
var errStopped = errors.New("stopped")

func tooLong(n int64, most int) error {
	if most >= MostDocument {
		return fmt.Errorf("a document of %d bytes or more is longer than %d; split it", n, most)
	}
	return fmt.Errorf("a document of %d bytes or more is longer than %d; raise the limit (--max-document) or split it", n, most)
}
