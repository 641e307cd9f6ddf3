package gguf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"bitnet/bitnet/modelfile/tensorfile"
)

// Tensor is one tensor to be written.
type Tensor struct {
	Name  string
	Type  Type
	Shape []int // row-major, as in Info
	// Data writes the elements: exactly as many bytes as Type and Shape say.
	Data func(w io.Writer) error
}

// Write makes the file at path and syncs it. It writes straight to path: a
// caller that replaces a file does so by renaming. After an error there is no
// file.
func Write(path string, keys []KeyValue, tensors []Tensor) error {
	head, sizes, err := header(keys, tensors)
	if err != nil {
		return fmt.Errorf("writing %s: %w", path, err)
	}
	return tensorfile.Create(path, "GGUF", func(w io.Writer) error {
		if _, err := w.Write(head); err != nil {
			return err
		}
		for i, t := range tensors {
			if err := tensorfile.WriteTensor(w, short(t.Name), sizes[i], t.Data); err != nil {
				return err
			}
			if _, err := w.Write(make([]byte, align(sizes[i])-sizes[i])); err != nil {
				return err
			}
		}
		return nil
	})
}

// header gives the bytes before the data, and each tensor's size.
func header(keys []KeyValue, tensors []Tensor) ([]byte, []int64, error) {
	var e encoder
	e.WriteString(magic)
	e.put(uint32(version), uint64(len(tensors)), uint64(len(keys)))
	seen := map[string]bool{}
	for _, kv := range keys {
		if seen[kv.Key] {
			return nil, nil, fmt.Errorf("the key %s comes twice", short(kv.Key))
		}
		seen[kv.Key] = true
		e.text(kv.Key)
		if err := e.value(kv.Value); err != nil {
			return nil, nil, fmt.Errorf("key %s: %w", short(kv.Key), err)
		}
	}
	sizes := make([]int64, len(tensors))
	clear(seen)
	var at int64
	for i, t := range tensors {
		n, err := size(t.Type, t.Shape)
		if err == nil && seen[t.Name] {
			err = fmt.Errorf("the name comes twice")
		}
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %s: %w", short(t.Name), err)
		}
		seen[t.Name] = true
		e.text(t.Name)
		e.put(uint32(len(t.Shape)))
		for a := len(t.Shape) - 1; a >= 0; a-- { // the contiguous axis first
			e.put(uint64(t.Shape[a]))
		}
		e.put(uint32(t.Type), uint64(at))
		sizes[i] = n
		at += align(n)
	}
	e.Write(make([]byte, align(int64(e.Len()))-int64(e.Len())))
	return e.Bytes(), sizes, nil
}

type encoder struct{ bytes.Buffer }

func (e *encoder) put(values ...any) {
	for _, v := range values {
		binary.Write(e, binary.LittleEndian, v) // cannot fail: plain numbers into memory
	}
}

func (e *encoder) text(s string) {
	e.put(uint64(len(s)))
	e.WriteString(s)
}

// value writes the type of v and v.
func (e *encoder) value(v any) error {
	switch v := v.(type) {
	case uint32:
		e.put(uint32(kindUint32), v)
	case uint64:
		e.put(uint32(kindUint64), v)
	case int32:
		e.put(uint32(kindInt32), v)
	case float32:
		e.put(uint32(kindFloat32), math.Float32bits(v))
	case bool:
		e.put(uint32(kindBool), v)
	case string:
		e.put(uint32(kindString))
		e.text(v)
	case []string:
		e.put(uint32(kindArray), uint32(kindString), uint64(len(v)))
		for _, s := range v {
			e.text(s)
		}
	case []int32:
		e.put(uint32(kindArray), uint32(kindInt32), uint64(len(v)), v)
	case []float32:
		e.put(uint32(kindArray), uint32(kindFloat32), uint64(len(v)), v)
	default:
		return fmt.Errorf("a %T cannot be written", v)
	}
	return nil
}
