package safetensors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// header is what the JSON at the start of a file says.
type header struct {
	tensors  []Info // by offset
	metadata map[string]string
	data     int64 // where the tensors' bytes begin in the file
}

// readHeader reads and checks the header of a file of size bytes.
func readHeader(r io.ReaderAt, size int64) (*header, error) {
	var prefix [8]byte
	if size < int64(len(prefix)) {
		return nil, fmt.Errorf("%d bytes are too few for a header", size)
	}
	if err := readFull(r, prefix[:], 0); err != nil {
		return nil, err
	}
	length := binary.LittleEndian.Uint64(prefix[:])
	switch {
	case length > maxHeader:
		return nil, fmt.Errorf("the header claims %d bytes, more than the format's limit of %d", length, maxHeader)
	case int64(length) > size-int64(len(prefix)):
		return nil, fmt.Errorf("the header claims %d bytes of a file of %d", length, size)
	}
	text := make([]byte, length)
	if err := readFull(r, text, int64(len(prefix))); err != nil {
		return nil, err
	}
	h, err := parseHeader(text)
	if err != nil {
		return nil, err
	}
	h.data = int64(len(prefix)) + int64(length)
	return h, h.checkLayout(size - h.data)
}

// checkLayout demands that the tensors fill the data without holes or overlaps.
func (h *header) checkLayout(data int64) error {
	slices.SortFunc(h.tensors, func(a, b Info) int {
		if a.Offset != b.Offset {
			return compare(a.Offset, b.Offset)
		}
		if a.Size != b.Size {
			return compare(a.Size, b.Size)
		}
		return strings.Compare(a.Name, b.Name)
	})
	var at int64
	for _, t := range h.tensors {
		switch {
		case t.Size > data-t.Offset:
			return fmt.Errorf("tensor %s: bytes %d to %d are outside of the file's %d bytes of data", short(t.Name), t.Offset, t.Offset+t.Size, data)
		case t.Offset < at:
			return fmt.Errorf("tensor %s: it begins at byte %d, inside the tensor before it, which ends at %d", short(t.Name), t.Offset, at)
		case t.Offset > at:
			return fmt.Errorf("tensor %s: it begins at byte %d and leaves a hole after %d", short(t.Name), t.Offset, at)
		}
		at += t.Size
	}
	if at != data {
		return fmt.Errorf("the tensors end at byte %d of %d bytes of data", at, data)
	}
	return nil
}

func compare(a, b int64) int {
	if a < b {
		return -1
	}
	return 1
}

// parseHeader reads the JSON by tokens: decoding into a map would hide names
// that come twice.
func parseHeader(text []byte) (*header, error) {
	if !utf8.Valid(text) {
		return nil, errors.New("the header is not UTF-8")
	}
	if len(text) == 0 || text[0] != '{' || !json.Valid(text) {
		return nil, errors.New("the header is not a JSON object")
	}
	h := &header{}
	p := parser{json.NewDecoder(bytes.NewReader(text))}
	p.UseNumber()
	seen := map[string]bool{}
	err := p.object(func(name string) error {
		if seen[name] {
			return fmt.Errorf("tensor %s: the name comes twice", short(name))
		}
		seen[name] = true
		if name == metadataKey {
			return p.metadata(h)
		}
		t, err := p.tensor(name)
		if err != nil {
			return fmt.Errorf("tensor %s: %w", short(name), err)
		}
		h.tensors = append(h.tensors, t)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// parser walks over text that is known to be valid JSON.
type parser struct{ *json.Decoder }

// object calls member, which must read the value, for each key.
func (p parser) object(member func(key string) error) error {
	if err := p.delim('{'); err != nil {
		return err
	}
	for p.More() {
		key, err := p.text()
		if err != nil {
			return err
		}
		if err := member(key); err != nil {
			return err
		}
	}
	_, err := p.Token()
	return err
}

func (p parser) delim(want json.Delim) error {
	switch tok, err := p.Token(); {
	case err != nil:
		return err
	case tok != want:
		kind := "an object"
		if want == '[' {
			kind = "an array"
		}
		return fmt.Errorf("want %s, got %s", kind, short(fmt.Sprint(tok)))
	}
	return nil
}

func (p parser) text() (string, error) {
	tok, err := p.Token()
	if err != nil {
		return "", err
	}
	s, ok := tok.(string)
	if !ok {
		return "", fmt.Errorf("want a string, got %s", short(fmt.Sprint(tok)))
	}
	return s, nil
}

// numbers reads an array of at most limit integers from 0.
func (p parser) numbers(limit int) ([]int64, error) {
	if err := p.delim('['); err != nil {
		return nil, err
	}
	var out []int64
	for p.More() {
		tok, err := p.Token()
		if err != nil {
			return nil, err
		}
		num, ok := tok.(json.Number)
		v, err := strconv.ParseUint(string(num), 10, 63)
		if !ok || err != nil {
			return nil, fmt.Errorf("%s is not an integer from 0 to 2^63-1", short(fmt.Sprint(tok)))
		}
		if len(out) == limit {
			return nil, fmt.Errorf("the array has more than %d numbers", limit)
		}
		out = append(out, int64(v))
	}
	_, err := p.Token()
	return out, err
}

func (p parser) metadata(h *header) error {
	h.metadata = map[string]string{}
	return p.object(func(key string) error {
		value, err := p.text()
		if err != nil {
			return fmt.Errorf("%s: %s: %w", metadataKey, short(key), err)
		}
		if _, twice := h.metadata[key]; twice {
			return fmt.Errorf("%s: the key %s comes twice", metadataKey, short(key))
		}
		h.metadata[key] = value
		return nil
	})
}

func (p parser) tensor(name string) (Info, error) {
	t := Info{Name: name}
	var dims, offsets []int64
	seen := map[string]bool{}
	err := p.object(func(key string) (err error) {
		if seen[key] {
			return fmt.Errorf("%s comes twice", short(key))
		}
		switch seen[key] = true; key {
		case "dtype":
			t.DType, err = p.text()
		case "shape":
			dims, err = p.numbers(maxRank)
		case "data_offsets":
			offsets, err = p.numbers(2)
		default:
			return fmt.Errorf("the format has no %s", short(key))
		}
		if err != nil {
			return fmt.Errorf("%s: %w", key, err)
		}
		return nil
	})
	if err != nil {
		return t, err
	}
	for _, key := range []string{"dtype", "shape", "data_offsets"} {
		if !seen[key] {
			return t, fmt.Errorf("%s is missing", key)
		}
	}
	t.Shape = make([]int, len(dims))
	for i, d := range dims {
		if t.Shape[i] = int(d); int64(t.Shape[i]) != d {
			return t, fmt.Errorf("shape %v is too large for this machine's address space", dims)
		}
	}
	if t.Size, err = size(t.DType, t.Shape); err != nil {
		return t, err
	}
	if len(offsets) != 2 || offsets[0] > offsets[1] {
		return t, fmt.Errorf("data_offsets %v are not a range", offsets)
	}
	t.Offset = offsets[0]
	if have := offsets[1] - offsets[0]; have != t.Size {
		return t, fmt.Errorf("data_offsets %v hold %d bytes, but %s %v has %d", offsets, have, t.DType, t.Shape, t.Size)
	}
	return t, nil
}
