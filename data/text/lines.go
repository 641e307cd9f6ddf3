package text

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// readLines gives one field of each line, a JSON object. Blank lines are not
// counted by the index.
func readLines(ctx context.Context, s *stream, path string, skip int64, o Options, yield func(Document, error) bool) error {
	limit := lineLimit(o.MaxDocument)
	var buf []byte
	var index int64
	for number := int64(1); ; number++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		line, err := readLine(ctx, s.Reader, buf[:0], limit)
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
			return fmt.Errorf("line %d: %w", number, tooLong(int64(len(text)), o.MaxDocument))
		}
		if text != "" && !yield(Document{Text: text, File: path, Index: at, Read: s.read}, nil) {
			return errStopped
		}
	}
}

// lineLimit is how long a line with a document of at most so many bytes may be.
// Escapes make a text up to six times longer, long ones rarely twice, and there
// are other fields.
func lineLimit(document int) int {
	return max(min(6*document, 96<<20), 2*document) + 1<<20
}

// readLine appends the next line to buf, without its end.
func readLine(ctx context.Context, r *bufio.Reader, buf []byte, limit int) ([]byte, error) {
	for {
		if err := ctx.Err(); err != nil {
			return buf, err
		}
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

// field gives the string that an object has under name, "" for null. A name
// that the object does not have may be a path: a.b is b in the object a.
func field(line []byte, name string) (string, error) {
	if !json.Valid(line) {
		return "", notJSON(line)
	}
	found, err := lookup(line, name)
	switch {
	case err != nil:
		return "", err
	case found == nil:
		return "", fmt.Errorf("there is no field %q; choose one with --field", name)
	case string(found) == "null":
		return "", nil
	case found[0] != '"':
		return "", fmt.Errorf("field %q is not a string; choose a different one with --field", name)
	}
	var s string
	err = json.Unmarshal(found, &s)
	return s, err
}

// notJSON says where a line stops being JSON.
func notJSON(line []byte) error {
	var v json.RawMessage
	var syntax *json.SyntaxError
	if errors.As(json.Unmarshal(line, &v), &syntax) && syntax.Offset < int64(len(line)) {
		return fmt.Errorf("not JSON from byte %d of the line", syntax.Offset)
	}
	return errors.New("not JSON: the line ends too early")
}

// lookup finds the value of name in an object, nil if it has none.
func lookup(object []byte, name string) ([]byte, error) {
	if object[skipSpace(object, 0)] != '{' {
		return nil, errors.New("not a JSON object")
	}
	if found := member(object, name); found != nil {
		return found, nil
	}
	for at, c := range name {
		if c != '.' {
			continue
		}
		switch inner := member(object, name[:at]); {
		case inner == nil:
		case string(inner) == "null":
			return inner, nil
		case inner[0] == '{':
			if found, err := lookup(inner, name[at+1:]); found != nil || err != nil {
				return found, err
			}
		}
	}
	return nil, nil
}

// member finds the value of a key in an object that is known to be well-formed,
// nil if it has none. Of several with one key the last counts, as in most JSON
// readers. Only the value is looked at: the others, however nested, are passed
// over.
func member(line []byte, name string) (found []byte) {
	i := skipSpace(line, 0)
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
	return found
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\r' || b[i] == '\n') {
		i++
	}
	return i
}

// skipString gives the index after the string that begins at b[i].
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
