package gguf

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"

	"bitnet/bitnet/modelfile/tensorfile"
)

// File is an open GGUF file.
type File struct {
	path    string
	file    io.ReaderAt
	close   func() error
	keys    []KeyValue
	values  map[string]any
	tensors []Info
	byName  map[string]int
	data    int64
}

// Open reads and checks the header of the file at path: keys, tensors, and
// that each tensor lies inside the file and no two overlap.
func Open(path string) (*File, error) {
	file, size, err := tensorfile.Open(path, "GGUF", ".gguf")
	if err != nil {
		return nil, err
	}
	f, err := newFile(path, file, size)
	if err != nil {
		file.Close()
		return nil, err
	}
	f.close = file.Close
	return f, nil
}

func newFile(path string, r io.ReaderAt, size int64) (*File, error) {
	f := &File{path: path, file: r, values: map[string]any{}, byName: map[string]int{}}
	d := &decoder{r: bufio.NewReaderSize(io.NewSectionReader(r, 0, size), 1<<16), left: size}
	if err := f.readHeader(d, size); err != nil {
		return nil, fmt.Errorf("%s: %w; the file is damaged or not a GGUF file that bitnet reads: get it again", path, err)
	}
	return f, nil
}

func (f *File) readHeader(d *decoder, size int64) error {
	if string(d.bytes(4)) != magic {
		return errors.New("it does not begin with GGUF")
	}
	if v := d.u32(); v != version && d.err == nil {
		return fmt.Errorf("it is version %d, want %d", v, version)
	}
	tensors, keys := d.u64(), d.u64()
	switch {
	case d.err != nil:
		return d.err
	case tensors > maxTensors || keys > maxKeys:
		return fmt.Errorf("it claims %d tensors and %d keys", tensors, keys)
	}
	for range keys {
		key := d.text()
		value := d.value(d.u32())
		if d.err != nil {
			return fmt.Errorf("key %s: %w", short(key), d.err)
		}
		if _, twice := f.values[key]; twice {
			return fmt.Errorf("the key %s comes twice", short(key))
		}
		f.keys = append(f.keys, KeyValue{key, value})
		f.values[key] = value
	}
	if a, ok := f.values["general.alignment"]; ok && a != uint32(alignment) {
		return fmt.Errorf("general.alignment is %s, want %d", short(fmt.Sprint(a)), alignment)
	}
	for range tensors {
		if err := f.readInfo(d); err != nil {
			return err
		}
	}
	f.data = align(size - d.left)
	return f.checkLayout(size - f.data)
}

func (f *File) readInfo(d *decoder) error {
	t := Info{Name: d.text()}
	axes := d.u32()
	if axes > maxAxes {
		return fmt.Errorf("tensor %s: it has %d axes", short(t.Name), axes)
	}
	t.Shape = make([]int, axes)
	for i := range t.Shape {
		v := d.u64()
		if v > math.MaxInt {
			return fmt.Errorf("tensor %s: axis %d is %d", short(t.Name), i, v)
		}
		t.Shape[int(axes)-1-i] = int(v)
	}
	t.Type = Type(d.u32())
	offset := d.u64()
	if d.err != nil {
		return fmt.Errorf("tensor %s: %w", short(t.Name), d.err)
	}
	var err error
	if t.Size, err = size(t.Type, t.Shape); err != nil {
		return fmt.Errorf("tensor %s: %w", short(t.Name), err)
	}
	if offset > math.MaxInt64 || offset%alignment != 0 {
		return fmt.Errorf("tensor %s: its place %d is not a multiple of %d", short(t.Name), offset, alignment)
	}
	t.Offset = int64(offset)
	if _, twice := f.byName[t.Name]; twice {
		return fmt.Errorf("tensor %s: the name comes twice", short(t.Name))
	}
	f.byName[t.Name] = len(f.tensors)
	f.tensors = append(f.tensors, t)
	return nil
}

func (f *File) checkLayout(data int64) error {
	order := slices.Clone(f.tensors)
	slices.SortFunc(order, func(a, b Info) int {
		switch {
		case a.Offset < b.Offset:
			return -1
		case a.Offset > b.Offset:
			return 1
		}
		return 0
	})
	var end int64
	for _, t := range order {
		switch {
		case t.Offset < end:
			return fmt.Errorf("tensor %s: it begins at byte %d, inside of the tensor before it", short(t.Name), t.Offset)
		case t.Offset > data || t.Size > data-t.Offset:
			return fmt.Errorf("tensor %s: bytes %d and the next %d are outside of the file's %d bytes of data", short(t.Name), t.Offset, t.Size, max(data, 0))
		}
		end = t.Offset + t.Size
	}
	return nil
}

// Close ends the use of the file.
func (f *File) Close() error { return f.close() }

// Keys lists the metadata in the order of the file.
func (f *File) Keys() []KeyValue { return slices.Clone(f.keys) }

// Value gives the value of a key, if it is there and of the type asked for.
func Value[T any](f *File, key string) (T, bool) {
	v, ok := f.values[key].(T)
	return v, ok
}

// Tensors lists the tensors in the order of the file.
func (f *File) Tensors() []Info { return slices.Clone(f.tensors) }

// Info describes the tensor of that name, if there is one.
func (f *File) Info(name string) (Info, bool) {
	i, ok := f.byName[name]
	if !ok {
		return Info{}, false
	}
	return f.tensors[i], true
}

// Bytes reads a tensor as it is stored.
func (f *File) Bytes(name string) ([]byte, error) {
	t, ok := f.Info(name)
	if !ok {
		return nil, fmt.Errorf("%s: it has no tensor %s", f.path, short(name))
	}
	raw := make([]byte, t.Size) // no more than the file has
	if n, err := f.file.ReadAt(raw, f.data+t.Offset); n < len(raw) {
		if err == nil || errors.Is(err, io.EOF) {
			err = errors.New("the file became shorter while it was read")
		}
		return nil, fmt.Errorf("%s: tensor %s: %w", f.path, short(name), err)
	}
	return raw, nil
}

// decoder reads values until the first error, after which it gives zeros.
type decoder struct {
	r    *bufio.Reader
	left int64 // bytes of the file
	err  error
}

var errEnds = errors.New("the file ends in the middle of its header")

func (d *decoder) bytes(n uint64) []byte {
	if d.err == nil && n > uint64(d.left) {
		d.err = errEnds
	}
	if d.err != nil {
		return nil
	}
	raw := make([]byte, n)
	if _, err := io.ReadFull(d.r, raw); err != nil {
		d.err = err
		return nil
	}
	d.left -= int64(n)
	return raw
}

func (d *decoder) number(width uint64) uint64 {
	var raw [8]byte
	copy(raw[:], d.bytes(width))
	return binary.LittleEndian.Uint64(raw[:])
}

func (d *decoder) u32() uint32 { return uint32(d.number(4)) }
func (d *decoder) u64() uint64 { return d.number(8) }

func (d *decoder) text() string {
	n := d.u64()
	if n > maxString && d.err == nil {
		d.err = fmt.Errorf("a string claims %d bytes", n)
	}
	if d.err != nil {
		return ""
	}
	return string(d.bytes(n))
}

func (d *decoder) value(kind uint32) any {
	switch kind {
	case kindUint8:
		return uint64(d.number(1))
	case kindInt8:
		return int64(int8(d.number(1)))
	case kindUint16:
		return uint64(d.number(2))
	case kindInt16:
		return int64(int16(d.number(2)))
	case kindUint32:
		return d.u32()
	case kindInt32:
		return int32(d.u32())
	case kindFloat32:
		return math.Float32frombits(d.u32())
	case kindBool:
		return d.number(1) != 0
	case kindString:
		return d.text()
	case kindArray:
		return d.array()
	case kindUint64:
		return d.u64()
	case kindInt64:
		return int64(d.u64())
	case kindFloat64:
		return math.Float64frombits(d.u64())
	}
	if d.err == nil {
		d.err = fmt.Errorf("its value is of type %d, which GGUF does not have", kind)
	}
	return nil
}

// elementBytes is the least that an element of an array takes in a file.
var elementBytes = map[uint32]uint64{
	kindUint8: 1, kindInt8: 1, kindUint16: 2, kindInt16: 2, kindUint32: 4, kindInt32: 4, kindFloat32: 4,
	kindBool: 1, kindString: 8, kindUint64: 8, kindInt64: 8, kindFloat64: 8,
}

func (d *decoder) array() any {
	kind, n := d.u32(), d.u64()
	least, ok := elementBytes[kind] // none for arrays of arrays
	switch {
	case d.err != nil:
		return nil
	case !ok:
		d.err = fmt.Errorf("its array is of type %d", kind)
		return nil
	case n > maxArray || n*least > uint64(d.left):
		d.err = fmt.Errorf("its array claims %d elements", n)
		return nil
	}
	if kind == kindString {
		out := make([]string, n)
		for i := range out {
			out[i] = d.text()
		}
		return out
	}
	// Numbers keep their width: an array takes as much memory as in the file.
	raw := d.bytes(n * least)
	if d.err != nil {
		return nil
	}
	switch kind {
	case kindUint8, kindBool:
		return raw
	case kindInt8:
		return numbers[int8](raw, n)
	case kindUint16:
		return numbers[uint16](raw, n)
	case kindInt16:
		return numbers[int16](raw, n)
	case kindUint32:
		return numbers[uint32](raw, n)
	case kindInt32:
		return numbers[int32](raw, n)
	case kindFloat32:
		return numbers[float32](raw, n)
	case kindUint64:
		return numbers[uint64](raw, n)
	case kindInt64:
		return numbers[int64](raw, n)
	}
	return numbers[float64](raw, n)
}

// numbers are the little-endian numbers of an array.
func numbers[T any](raw []byte, n uint64) []T {
	out := make([]T, n)
	if _, err := binary.Decode(raw, binary.LittleEndian, out); err != nil {
		panic(err) // raw has their size
	}
	return out
}
