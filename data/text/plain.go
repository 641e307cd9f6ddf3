package text

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"unicode/utf8"
)

var pieceBuffers = sync.Pool{New: func() any {
	b := make([]byte, 4*pieceSize)
	return &b
}}

// readText gives the pieces of a text file: between the marks of o.Split, with
// the line ends next to them taken off; or else the whole file, cut about every
// 64 KiB at a blank line, at a line end, or before a rune.
func readText(ctx context.Context, s *stream, path string, skip int64, o Options, yield func(Document, error) bool) error {
	next := func(buf []byte, eof bool) (piece, used int) { return cutPiece(buf, eof) }
	limit := 2 * pieceSize
	if o.Split != "" {
		mark := []byte(o.Split)
		searched := 0 // bytes of buf known to hold no mark
		next = func(buf []byte, eof bool) (piece, used int) {
			if i := bytes.Index(buf[searched:], mark); i >= 0 {
				i += searched
				searched = 0
				return i, i + len(mark)
			}
			if eof {
				return len(buf), len(buf)
			}
			searched = max(0, len(buf)-len(mark)+1)
			return 0, 0
		}
		limit = o.MaxDocument + len(mark) + 2*pieceSize
	}
	whole := pieceBuffers.Get().(*[]byte)
	defer pieceBuffers.Put(whole)
	buf := (*whole)[:0]
	var index, offset int64 // of the piece, and of buf in the unpacked file
	eof := false
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		piece, used := next(buf, eof)
		if used == 0 && eof {
			return nil
		}
		if used == 0 {
			if len(buf) >= limit {
				return fmt.Errorf("byte %d: %w", offset, tooLong(int64(len(buf)), o.MaxDocument))
			}
			n := len(buf)
			if cap(buf) < n+pieceSize {
				buf = append(make([]byte, 0, 2*cap(buf)+2*pieceSize), buf...)
			}
			k, err := io.ReadFull(s, buf[n:n+pieceSize])
			buf = buf[:n+k]
			switch err {
			case nil:
			case io.EOF, io.ErrUnexpectedEOF:
				// A cut gzip or zstd stream says so with the same error as
				// ReadFull, so the difference is asked for.
				if _, again := s.ReadByte(); again != io.EOF {
					return fmt.Errorf("byte %d: %w", offset+int64(len(buf)), again)
				}
				eof = true
			default:
				return fmt.Errorf("byte %d: %w", offset+int64(len(buf)), err)
			}
			continue
		}
		text := buf[:piece]
		if o.Split != "" {
			text = bytes.Trim(text, "\r\n")
		}
		if len(text) > o.MaxDocument {
			return fmt.Errorf("byte %d: %w", offset, tooLong(int64(len(text)), o.MaxDocument))
		}
		at := index
		index++
		if at >= skip && len(bytes.TrimSpace(text)) > 0 {
			if !yield(Document{Text: string(text), File: path, Index: at, Read: s.read}, nil) {
				return errStopped
			}
		}
		offset += int64(used)
		buf = buf[used:]
	}
}

// cutPiece says how much of buf is the next piece: 0 to ask for more.
func cutPiece(buf []byte, eof bool) (piece, used int) {
	if len(buf) <= pieceSize {
		if eof {
			return len(buf), len(buf)
		}
		return 0, 0
	}
	head := buf[:pieceSize]
	if i := bytes.LastIndex(head, []byte("\n\n")); i >= pieceSize/2 {
		return i + 2, i + 2
	}
	if i := bytes.LastIndexByte(head, '\n'); i >= pieceSize/2 {
		return i + 1, i + 1
	}
	n := pieceSize
	for n > pieceSize-utf8.UTFMax && !utf8.RuneStart(buf[n]) {
		n--
	}
	return n, n
}
