package text

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// readLines gives one field of each line, a JSON object. Blank lines are not
// counted by the index.
func readLines(path string, skip int64, o Options, yield func(Document, error) bool) error {
	s, err := openStream(path)
	if err != nil {
		return err
	}
	defer s.Close()
	// Escapes make a text up to six times longer, and there are other fields.
	limit := 6*o.MaxDocument + 1<<20
	var buf []byte
	var index int64
	for number := int64(1); ; number++ {
		line, err := readLine(s.Reader, buf[:0], limit)
		if err == io.EOF && len(line) == 0 {
			return nil
		}
		if err != nil && err != io.EOF {
			return fmt.Errorf("line %d: %w", number, err)
		}
		buf = line
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		at := index
		index++
		if at < skip {
			continue
		}
		text, err := field(line, o.Field)
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if len(text) > o.MaxDocument {
			return fmt.Errorf("line %d: %w", number, tooLong(len(text), o))
		}
		if text != "" && !yield(Document{Text: text, File: path, Index: at, Read: s.read}, nil) {
			return errStopped
		}
	}
}

// readLine appends the next line to buf, without its end.
func readLine(r *bufio.Reader, buf []byte, limit int) ([]byte, error) {
	for {
		part, err := r.ReadSlice('\n')
		if len(buf)+len(part) > limit {
			return buf, fmt.Errorf("longer than %d bytes; raise the limit (--max-document) or split it", limit)
		}
		buf = append(buf, part...)
		switch {
		case err == bufio.ErrBufferFull:
			continue
		case err == nil:
			return buf[:len(buf)-1], nil
		}
		return buf, err
	}
}

// field gives the string that an object has under name, "" for null. Of several
// with one name the last counts, as in most JSON readers. Only that field is
// built; the others, however nested, are passed over.
func field(line []byte, name string) (string, error) {
	if !json.Valid(line) {
		var v json.RawMessage
		return "", fmt.Errorf("not JSON: %w", json.Unmarshal(line, &v))
	}
	// From here on line is known to be well-formed.
	i := skipSpace(line, 0)
	if line[i] != '{' {
		return "", errors.New("not a JSON object")
	}
	var found []byte
	for i = skipSpace(line, i+1); line[i] != '}'; {
		if line[i] == ',' {
			i = skipSpace(line, i+1)
		}
		end := skipString(line, i)
		key := line[i+1 : end-1]
		same := string(key) == name
		if !same && bytes.IndexByte(key, '\\') >= 0 {
			var s string
			same = json.Unmarshal(line[i:end], &s) == nil && s == name
		}
		i = skipSpace(line, end)      // at the colon
		start := skipSpace(line, i+1) // at the value
		end = skipValue(line, start)
		if same {
			found = line[start:end]
		}
		i = skipSpace(line, end)
	}
	switch {
	case found == nil:
		return "", fmt.Errorf("no field %q; choose one with --field", name)
	case string(found) == "null":
		return "", nil
	case found[0] != '"':
		return "", fmt.Errorf("field %q is not a string; choose another with --field", name)
	}
	var s string
	err := json.Unmarshal(found, &s)
	return s, err
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	return i
}

// skipString gives the index behind the string that begins at b[i].
func skipString(b []byte, i int) int {
	for i++; b[i] != '"'; i++ {
		if b[i] == '\\' {
			i++
		}
	}
	return i + 1
}

func skipValue(b []byte, i int) int {
	switch b[i] {
	case '"':
		return skipString(b, i)
	case '{', '[':
		for depth := 0; ; {
			switch b[i] {
			case '"':
				i = skipString(b, i)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			i++
			if depth == 0 {
				return i
			}
		}
	}
	for i < len(b) && b[i] != ',' && b[i] != '}' && b[i] != ']' && b[i] > ' ' {
		i++
	}
	return i
}
