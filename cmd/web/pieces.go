package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"bitnet/data/text"
)

// A small text is one document, of which nothing could be kept for the validation
// loss. It is cut into about wantedPieces documents of at least leastPiece bytes.
const (
	smallText    = 1 << 20 // bytes; a larger one is cut by package text
	leastText    = 4 << 10
	leastPiece   = 1 << 10
	wantedPieces = 24
)

// cutSmall replaces a small text file by its pieces, one a line as JSON.
func cutSmall(ctx context.Context, path string) error {
	var all strings.Builder
	for d, err := range text.Documents(ctx, path, 0, text.Options{}) {
		if err != nil {
			return err
		}
		if all.WriteString(d.Text); all.Len() > smallText {
			return nil
		}
	}
	if all.Len() < leastText {
		return fmt.Errorf("the text has only %d bytes, too few to learn from: drop at least %d KiB", all.Len(), leastText>>10)
	}
	var out bytes.Buffer
	to := json.NewEncoder(&out)
	for rest := all.String(); rest != ""; {
		n := cutAt(rest, max(all.Len()/wantedPieces, leastPiece))
		if err := to.Encode(map[string]string{"text": rest[:n]}); err != nil {
			return err
		}
		rest = rest[n:]
	}
	if err := os.WriteFile(path+".jsonl", out.Bytes(), 0o644); err != nil {
		return errors.Join(err, os.Remove(path+".jsonl"))
	}
	return os.Remove(path)
}

// cutAt is where the first piece of about n bytes of a text ends: at a blank line,
// else at the end of a line, of a sentence or of a word, all in its second half.
func cutAt(s string, n int) int {
	if len(s) < n+n/2 {
		return len(s)
	}
	for _, end := range []string{"\n\n", "\n", ". ", " "} {
		if at := strings.LastIndex(s[n/2:n], end); at >= 0 {
			return n/2 + at + len(end)
		}
	}
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return n
}
