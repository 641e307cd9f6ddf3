package safetensors

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"unicode/utf8"

	"bitnet/bitnet/modelfile/tensorfile"
)

// Tensor is one tensor to be written.
type Tensor struct {
	Name  string
	DType string // as in Info
	Shape []int
	// Data writes the elements, row-major and little-endian: exactly as many
	// bytes as DType and Shape say.
	Data func(w io.Writer) error
}

// Float32 is an F32 tensor of v, which is read when the file is written.
func Float32(name string, shape []int, v []float32) Tensor {
	return Tensor{Name: name, DType: "F32", Shape: shape, Data: func(w io.Writer) error { return writeFloat32s(w, v) }}
}

func writeFloat32s(w io.Writer, v []float32) error {
	if littleEndian {
		_, err := w.Write(bytesOf(v))
		return err
	}
	buf := make([]byte, 0, 1<<16)
	for len(v) > 0 {
		n := min(len(v), cap(buf)/4)
		buf = buf[:0]
		for _, x := range v[:n] {
			buf = le.AppendUint32(buf, math.Float32bits(x))
		}
		if _, err := w.Write(buf); err != nil {
			return err
		}
		v = v[n:]
	}
	return nil
}

// Write makes the file at path of tensors, in their order, and metadata, and
// syncs it. It writes straight to path: a caller that replaces a file or a
// directory of files does so by renaming. After an error there is no file.
func Write(path string, tensors []Tensor, metadata map[string]string) error {
	head, sizes, err := encodeHeader(tensors, metadata)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return tensorfile.Create(path, "safetensors", func(w io.Writer) error {
		if _, err := w.Write(head); err != nil {
			return err
		}
		for i, t := range tensors {
			if err := tensorfile.WriteTensor(w, short(t.Name), sizes[i], t.Data); err != nil {
				return err
			}
		}
		return nil
	})
}

// encodeHeader gives the bytes before the data, and each tensor's size.
func encodeHeader(tensors []Tensor, metadata map[string]string) ([]byte, []int64, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	value := func(v any) error {
		err := enc.Encode(v)
		out.Truncate(out.Len() - 1) // its newline
		return err
	}
	out.Write(make([]byte, 8))
	out.WriteByte('{')
	if len(metadata) > 0 {
		for k, v := range metadata {
			if !utf8.ValidString(k) || !utf8.ValidString(v) {
				return nil, nil, fmt.Errorf("metadata %s is not UTF-8", short(k))
			}
		}
		out.WriteString(`"` + metadataKey + `":`)
		if err := value(metadata); err != nil {
			return nil, nil, err
		}
	}
	sizes := make([]int64, len(tensors))
	seen := make(map[string]bool, len(tensors))
	var at int64
	for i, t := range tensors {
		n, err := size(t.DType, t.Shape)
		switch {
		case err != nil:
		case t.Name == metadataKey || !utf8.ValidString(t.Name):
			err = errors.New("the format allows no such name")
		case seen[t.Name]:
			err = errors.New("the name comes twice")
		case n > math.MaxInt64-at:
			err = errors.New("the file would be larger than any")
		}
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %s: %w", short(t.Name), err)
		}
		seen[t.Name] = true
		sizes[i] = n
		if out.Len() > 9 {
			out.WriteByte(',')
		}
		if err := value(t.Name); err != nil {
			return nil, nil, err
		}
		out.WriteByte(':')
		if err := value(struct {
			DType   string   `json:"dtype"`
			Shape   []int    `json:"shape"`
			Offsets [2]int64 `json:"data_offsets"`
		}{t.DType, append([]int{}, t.Shape...), [2]int64{at, at + n}}); err != nil {
			return nil, nil, err
		}
		at += n
	}
	out.WriteByte('}')
	for out.Len()%8 != 0 {
		out.WriteByte(' ')
	}
	if out.Len()-8 > maxHeader {
		return nil, nil, fmt.Errorf("the header has %d bytes, more than the format's limit of %d", out.Len()-8, maxHeader)
	}
	head := out.Bytes()
	le.PutUint64(head, uint64(len(head)-8))
	return head, sizes, nil
}
