package safetensors

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"bitnet/bitnet/modelfile/tensorfile"
)

// File is an open safetensors file. Its methods may be called from several
// goroutines at once, except for Close.
type File struct {
	path   string
	file   io.ReaderAt
	close  func() error
	header *header
	byName map[string]int
}

// Open reads and checks the whole header of the file at path: JSON, names,
// dtypes, shapes, and that the tensors fill the file exactly, without holes or
// overlaps. No tensor is read yet.
func Open(path string) (*File, error) {
	file, size, err := tensorfile.Open(path, "safetensors", ".safetensors")
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
	h, err := readHeader(r, size)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; the file is damaged or not a safetensors file: get it again", path, err)
	}
	f := &File{path: path, file: r, header: h, byName: make(map[string]int, len(h.tensors))}
	for i, t := range h.tensors {
		f.byName[t.Name] = i
	}
	return f, nil
}

// Close ends the use of the file.
func (f *File) Close() error { return f.close() }

// Metadata is a copy of the strings stored along with the tensors.
func (f *File) Metadata() map[string]string { return maps.Clone(f.header.metadata) }

// Tensors lists the tensors in the order of their bytes.
func (f *File) Tensors() []Info {
	out := slices.Clone(f.header.tensors)
	for i := range out {
		out[i].Shape = slices.Clone(out[i].Shape)
	}
	return out
}

// Info describes the tensor of that name, if there is one.
func (f *File) Info(name string) (Info, bool) {
	i, ok := f.byName[name]
	if !ok {
		return Info{}, false
	}
	t := f.header.tensors[i]
	t.Shape = slices.Clone(t.Shape)
	return t, true
}

// Float32s reads a tensor of floats, row-major, into dst, which must have its
// number of elements. F16 and BF16 are widened exactly, F64 is rounded.
func (f *File) Float32s(name string, dst []float32) error {
	t, err := f.want(name, "F32", "F16", "BF16", "F64")
	if err != nil {
		return err
	}
	if len(dst) != t.Elements() {
		return f.wrong(name, fmt.Errorf("it has %d elements %v, not %d; is the model of a different size?", t.Elements(), t.Shape, len(dst)))
	}
	if t.DType != "F32" {
		return f.chunks(t, func(at int, raw []byte) error {
			floats(dst[at:], t.DType, raw)
			return nil
		})
	}
	raw := bytesOf(dst)
	if err := f.read(t, raw, 0); err != nil {
		return err
	}
	if !littleEndian {
		floats(dst, t.DType, raw) // in place: each element is read before it is written
	}
	return nil
}

// Float64s reads a tensor of floats, row-major.
func (f *File) Float64s(name string) ([]float64, error) {
	t, err := f.want(name, "F32", "F16", "BF16", "F64")
	if err != nil {
		return nil, err
	}
	if err := f.fits(t, 8); err != nil {
		return nil, err
	}
	dst := make([]float64, t.Elements())
	return dst, f.chunks(t, func(at int, raw []byte) error {
		floats(dst[at:], t.DType, raw)
		return nil
	})
}

// Ints reads a tensor of integers or truth values (0 and 1), row-major.
func (f *File) Ints(name string) ([]int64, error) {
	t, err := f.want(name, "I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8", "BOOL")
	if err != nil {
		return nil, err
	}
	if err := f.fits(t, 8); err != nil {
		return nil, err
	}
	dst := make([]int64, t.Elements())
	return dst, f.chunks(t, func(at int, raw []byte) error {
		ints(dst[at:], t.DType, raw)
		if t.DType != "U64" {
			return nil
		}
		for i, v := range dst[at : at+len(raw)/8] {
			if v < 0 {
				return f.wrong(name, fmt.Errorf("element %d is %d, more than an int64 holds", at+i, uint64(v)))
			}
		}
		return nil
	})
}

// Bytes reads a tensor of any dtype as it is stored, little-endian.
func (f *File) Bytes(name string) ([]byte, error) {
	t, err := f.want(name)
	if err != nil {
		return nil, err
	}
	if err := f.fits(t, widths[t.DType]); err != nil {
		return nil, err
	}
	raw := make([]byte, t.Size)
	return raw, f.read(t, raw, 0)
}

// want finds a tensor that has one of the dtypes, or any if none is named.
func (f *File) want(name string, dtypes ...string) (*Info, error) {
	i, ok := f.byName[name]
	if !ok {
		return nil, f.wrong(name, errors.New("the file has no such tensor"))
	}
	t := &f.header.tensors[i]
	if len(dtypes) > 0 && !slices.Contains(dtypes, t.DType) {
		return nil, f.wrong(name, fmt.Errorf("its dtype is %s, want %s", t.DType, strings.Join(dtypes, ", ")))
	}
	return t, nil
}

// fits guards the allocation of a whole tensor: a sparse file claims terabytes
// and has no bytes on the disk.
func (f *File) fits(t *Info, width int64) error {
	const most = 1 << 36
	if n := int64(t.Elements()); n > most/width || n*width > math.MaxInt {
		return f.wrong(t.Name, fmt.Errorf("its %d elements are too many to be read at once", n))
	}
	return nil
}

func (f *File) wrong(name string, err error) error {
	return fmt.Errorf("%s: tensor %s: %w", f.path, short(name), err)
}

// read fills raw with the tensor's bytes from at on.
func (f *File) read(t *Info, raw []byte, at int64) error {
	if err := readFull(f.file, raw, f.header.data+t.Offset+at); err != nil {
		return f.wrong(t.Name, err)
	}
	return nil
}

// chunkBytes is a multiple of every element width, and large enough that the
// system calls cost nothing compared with the copying.
const chunkBytes = 1 << 20

// chunks reads the tensor part by part; at is the index of a part's first element.
func (f *File) chunks(t *Info, use func(at int, raw []byte) error) error {
	buf := make([]byte, min(chunkBytes, t.Size))
	for at := int64(0); at < t.Size; at += chunkBytes {
		raw := buf[:min(chunkBytes, t.Size-at)]
		if err := f.read(t, raw, at); err != nil {
			return err
		}
		if err := use(int(at/widths[t.DType]), raw); err != nil {
			return err
		}
	}
	return nil
}

func readFull(r io.ReaderAt, p []byte, at int64) error {
	n, err := r.ReadAt(p, at)
	if n == len(p) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return errors.New("the file became shorter while it was read")
	}
	return err
}
