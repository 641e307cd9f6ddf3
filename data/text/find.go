package text

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"unicode/utf8"

	"bitnet/data/plainfile"
	"bitnet/data/printable"
)

// Found is a file that holds documents.
type Found struct {
	Path string
	Size int64
}

// Find lists the files to read below paths, each a file or a folder, in an
// order that depends only on the names. In folders it leaves out hidden files
// and folders, links, files that are not text by their first bytes, and .json,
// which is read as JSON lines only where it is named itself.
func Find(ctx context.Context, paths ...string) ([]Found, error) {
	var all []Found
	for _, root := range paths {
		info, err := os.Stat(root)
		if err != nil {
			return nil, fmt.Errorf("finding text: %w", err)
		}
		if !info.IsDir() {
			if !info.Mode().IsRegular() {
				return nil, fmt.Errorf("finding text: %s is neither a file nor a folder; write its content to a file first", root)
			}
			if ok, err := readable(root); err != nil || !ok {
				return nil, errors.Join(err, fmt.Errorf("finding text: %s is not text; give .parquet, .jsonl (.gz, .zst) or text files", root))
			}
			all = append(all, Found{root, info.Size()})
			continue
		}
		before := len(all)
		err = plainfile.Below(root, func(p string, d fs.DirEntry) error {
			if err := ctx.Err(); err != nil {
				return err
			}
			if !d.Type().IsRegular() {
				return nil
			}
			if extension(p) == ".json" {
				return nil
			}
			if ok, err := readable(p); err != nil || !ok {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			if info.Size() > 0 {
				all = append(all, Found{p, info.Size()})
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("finding text below %s: %w", root, err)
		}
		if len(all) == before {
			return nil, fmt.Errorf("finding text: nothing to read below %s; give .parquet, .jsonl (.gz, .zst) or text files", root)
		}
	}
	return all, nil
}

// readable says whether a file is of a known format, or looks like text.
func readable(path string) (bool, error) {
	if FormatOf(path) != Unknown {
		return true, nil
	}
	f, err := plainfile.Open(path)
	if err != nil {
		return false, fmt.Errorf("%s: %w", printable.String(path), err)
	}
	defer f.Close()
	head := make([]byte, 4096)
	n, err := io.ReadFull(f, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return false, err
	}
	head = head[:n]
	if bytes.IndexByte(head, 0) >= 0 {
		return false, nil
	}
	// The last rune may be cut.
	for i := 0; i < utf8.UTFMax && n > 0 && !utf8.Valid(head); i++ {
		n--
		head = head[:n]
	}
	return n > 0 && utf8.Valid(head), nil
}
