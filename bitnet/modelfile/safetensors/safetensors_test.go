package safetensors

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// raw is a tensor whose elements are given as encoding/binary writes them.
func raw(name, dtype string, shape []int, v any) Tensor {
	return Tensor{name, dtype, shape, func(w io.Writer) error { return binary.Write(w, binary.LittleEndian, v) }}
}

func write(t testing.TB, metadata map[string]string, tensors ...Tensor) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.safetensors")
	require.NoError(t, Write(path, tensors, metadata))
	return path
}

func open(t testing.TB, path string) *File {
	t.Helper()
	f, err := Open(path)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func TestGoldenBytes(t *testing.T) {
	path := write(t, map[string]string{"format": "pt"},
		Float32("b", []int{2}, []float32{1, -2}),
		raw("a<", "U8", nil, uint8(7)))
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	header := `{"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a<":{"dtype":"U8","shape":[],"data_offsets":[8,9]}}`
	header += strings.Repeat(" ", (8-len(header)%8)%8)
	want := string([]byte{byte(len(header)), 0, 0, 0, 0, 0, 0, 0})
	require.Equal(t, want+header+"\x00\x00\x80\x3f\x00\x00\x00\xc0\x07", string(got))
}

func TestEmptyFile(t *testing.T) {
	path := write(t, nil)
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "\x08\x00\x00\x00\x00\x00\x00\x00{}      ", string(got))
	f := open(t, path)
	require.Empty(t, f.Tensors())
	require.Empty(t, f.Metadata())
}

func TestRoundTrip(t *testing.T) {
	big := make([]float32, 3*chunkBytes/4+3) // several chunks, the last not whole
	for i := range big {
		big[i] = float32(i) - 0.25
	}
	wide := make([]float64, len(big))
	for i := range big {
		wide[i] = float64(big[i])
	}
	metadata := map[string]string{"format": "pt", "note": "line\nbreak \"quoted\" <é>"}
	f := open(t, write(t, metadata,
		Float32("z", []int{5, len(big) / 5}, big),
		raw("f64", "F64", []int{len(wide)}, wide),
		Float32("none", []int{3, 0}, nil),
		Float32("scalar", []int{}, []float32{math.MaxFloat32}),
		raw("i8", "I8", []int{3}, []int8{-128, 0, 127}),
		raw("i16", "I16", []int{2}, []int16{math.MinInt16, math.MaxInt16}),
		raw("i32", "I32", []int{2}, []int32{math.MinInt32, math.MaxInt32}),
		raw("i64", "I64", []int{2}, []int64{math.MinInt64, math.MaxInt64}),
		raw("u8", "U8", []int{2}, []uint8{0, 255}),
		raw("u16", "U16", []int{2}, []uint16{0, 65535}),
		raw("u32", "U32", []int{2}, []uint32{0, math.MaxUint32}),
		raw("u64", "U64", []int{2}, []uint64{0, math.MaxInt64}),
		raw("bool", "BOOL", []int{2}, []bool{true, false}),
		raw("too big", "U64", []int{3}, []uint64{0, 1, math.MaxUint64}),
	))
	require.Equal(t, metadata, f.Metadata())
	infos := f.Tensors()
	require.Len(t, infos, 14)
	require.Equal(t, Info{"z", "F32", []int{5, len(big) / 5}, 0, int64(4 * len(big))}, infos[0])
	for _, want := range infos {
		got, ok := f.Info(want.Name)
		require.True(t, ok)
		require.Equal(t, want, got)
	}

	got := make([]float32, len(big))
	require.NoError(t, f.Float32s("z", got))
	require.Equal(t, big, got)
	clear(got)
	require.NoError(t, f.Float32s("f64", got))
	require.Equal(t, big, got)
	for _, name := range []string{"z", "f64"} {
		got, err := f.Float64s(name)
		require.NoError(t, err)
		require.Equal(t, wide, got)
	}
	require.NoError(t, f.Float32s("none", nil))
	require.NoError(t, f.Float32s("scalar", got[:1]))
	require.EqualValues(t, math.MaxFloat32, got[0])
	for name, want := range map[string][]int64{
		"i8": {-128, 0, 127}, "i16": {math.MinInt16, math.MaxInt16}, "i32": {math.MinInt32, math.MaxInt32},
		"i64": {math.MinInt64, math.MaxInt64}, "u8": {0, 255}, "u16": {0, 65535}, "u32": {0, math.MaxUint32},
		"u64": {0, math.MaxInt64}, "bool": {1, 0},
	} {
		got, err := f.Ints(name)
		require.NoError(t, err, name)
		require.Equal(t, want, got, name)
	}
	bytes, err := f.Bytes("i16")
	require.NoError(t, err)
	require.Equal(t, []byte{0, 0x80, 0xff, 0x7f}, bytes)

	_, err = f.Ints("too big")
	require.ErrorContains(t, err, `tensor "too big": element 2 is 18446744073709551615`)
	_, err = f.Ints("z")
	require.ErrorContains(t, err, "its dtype is F32")
	_, err = f.Float64s("i8")
	require.ErrorContains(t, err, "its dtype is I8")
	require.ErrorContains(t, f.Float32s("z", got[:7]), fmt.Sprintf("it has %d elements [5 %d], not 7", len(big), len(big)/5))
	_, err = f.Bytes("nobody")
	require.ErrorContains(t, err, `tensor "nobody": the file has no such tensor`)
	_, ok := f.Info("nobody")
	require.False(t, ok)
}

func TestNarrowFloats(t *testing.T) {
	f := open(t, write(t, nil,
		raw("half", "F16", []int{9}, []uint16{0, 0x8000, 0x3c00, 0xc000, 0x7bff, 0x0001, 0x83ff, 0x0400, 0x7c00}),
		raw("nan", "F16", []int{1}, uint16(0x7e01)),
		raw("bf16", "BF16", []int{5}, []uint16{0x3f80, 0xc000, 0x0001, 0x7f80, 0x8000})))
	inf := math.Inf(1)
	for name, want := range map[string][]float64{
		"half": {0, math.Copysign(0, -1), 1, -2, 65504, 0x1p-24, -1023 * 0x1p-24, 0x1p-14, inf},
		"bf16": {1, -2, 0x1p-133, inf, math.Copysign(0, -1)},
	} {
		wide, err := f.Float64s(name)
		require.NoError(t, err)
		narrow := make([]float32, len(want))
		require.NoError(t, f.Float32s(name, narrow))
		for i := range want {
			require.Equal(t, math.Float64bits(want[i]), math.Float64bits(wide[i]), "%s %d", name, i)
			require.Equal(t, math.Float32bits(float32(want[i])), math.Float32bits(narrow[i]), "%s %d", name, i)
		}
	}
	nan, err := f.Float64s("nan")
	require.NoError(t, err)
	require.True(t, math.IsNaN(nan[0]))
}

// Every half is m * 2^e by the definition of the format.
func TestHalf(t *testing.T) {
	for h := range 1 << 16 {
		exponent, m := h>>10&31, float64(h&0x3ff)
		want := math.Ldexp(m, -24)
		switch {
		case exponent == 31 && m != 0:
			want = math.NaN()
		case exponent == 31:
			want = math.Inf(1)
		case exponent > 0:
			want = math.Ldexp(1024+m, exponent-25)
		}
		if h>>15 == 1 {
			want = -want
		}
		got := float64(half(uint16(h)))
		if math.IsNaN(want) {
			require.True(t, math.IsNaN(got), "%#x", h)
			continue
		}
		require.Equal(t, math.Float64bits(want), math.Float64bits(got), "%#x", h)
	}
}

func TestWriteRefuses(t *testing.T) {
	give := func(n int) func(io.Writer) error {
		return func(w io.Writer) error {
			for range n {
				if _, err := w.Write([]byte{1}); err != nil {
					return err
				}
			}
			return nil
		}
	}
	for _, c := range []struct {
		name    string
		tensors []Tensor
		want    string
	}{
		{"few", []Tensor{{"a", "U8", []int{3}, give(2)}}, `tensor "a": 1 of its 3 bytes were not given`},
		{"many", []Tensor{{"a", "U8", []int{3}, give(4)}}, `tensor "a": 1 bytes more than its shape has room for`},
		{"floats", []Tensor{Float32("a", []int{2, 2}, make([]float32, 3))}, `tensor "a": 4 of its 16 bytes were not given`},
		{"twice", []Tensor{{"a", "U8", nil, give(1)}, {"a", "U8", nil, give(1)}}, `tensor "a": the name comes twice`},
		{"dtype", []Tensor{{"a", "F8", nil, give(1)}}, `tensor "a": dtype "F8"`},
		{"reserved", []Tensor{{"__metadata__", "U8", nil, give(1)}}, "no such name"},
		{"utf8", []Tensor{{"\xff", "U8", nil, give(1)}}, "no such name"},
		{"negative", []Tensor{{"a", "U8", []int{-1}, give(1)}}, "negative"},
		{"overflow", []Tensor{{"a", "F32", []int{1 << 31, 1 << 31}, give(1)}}, "overflows"},
		{"sum", []Tensor{{"a", "U8", []int{1 << 62}, give(1)}, {"b", "U8", []int{1 << 62}, give(1)}}, "larger than any"},
		{"failure", []Tensor{{"a", "U8", nil, func(io.Writer) error { return io.ErrClosedPipe }}}, `tensor "a": io: read/write on closed pipe`},
	} {
		path := filepath.Join(t.TempDir(), "x.safetensors")
		err := Write(path, c.tensors, nil)
		require.ErrorContains(t, err, c.want, c.name)
		require.ErrorContains(t, err, path, c.name)
		require.NoFileExists(t, path, c.name)
	}
	require.ErrorContains(t, Write(filepath.Join(t.TempDir(), "x"), nil, map[string]string{"a": "\xff"}), "not UTF-8")
	require.ErrorIs(t, Write(filepath.Join(t.TempDir(), "no", "x"), nil, nil), os.ErrNotExist)
}

func TestFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	link := filepath.Join(t.TempDir(), "x.safetensors")
	require.NoError(t, os.Symlink("/dev/full", link))
	err := Write(link, []Tensor{Float32("a", []int{1 << 20}, make([]float32, 1<<20))}, nil)
	require.ErrorContains(t, err, "no space left")
	require.ErrorContains(t, err, `tensor "a"`)
}

// The files that testdata/golden.py wrote with its own writer.
func TestReadForeignFiles(t *testing.T) {
	paths, err := filepath.Glob("../../testdata/golden/*.safetensors")
	require.NoError(t, err)
	if len(paths) == 0 {
		t.Skip("no files in testdata/golden; run testdata/golden.py")
	}
	for _, path := range paths {
		f := open(t, path)
		require.NotEmpty(t, f.Metadata()["formula"], path)
		require.NotEmpty(t, f.Tensors(), path)
		for _, info := range f.Tensors() {
			var n int
			if strings.Contains(info.DType, "F") {
				v, err := f.Float64s(info.Name)
				require.NoError(t, err)
				n = len(v)
			} else {
				v, err := f.Ints(info.Name)
				require.NoError(t, err)
				n = len(v)
			}
			require.Equal(t, info.Elements(), n)
		}
	}
	rope := open(t, "../../testdata/golden/rope.safetensors")
	x, err := rope.Float64s("case0.x")
	require.NoError(t, err)
	y, err := rope.Float64s("case0.y") // position 0: no rotation
	require.NoError(t, err)
	require.Equal(t, x, y)
	require.NotZero(t, x[0])
}

func BenchmarkFloat32s(b *testing.B) {
	v := make([]float32, 16<<20)
	for i := range v {
		v[i] = float32(i)
	}
	path := filepath.Join(b.TempDir(), "x.safetensors")
	half := make([]byte, 2*len(v))
	require.NoError(b, Write(path, []Tensor{Float32("f32", []int{len(v)}, v), raw("f16", "F16", []int{len(v)}, half), raw("bf16", "BF16", []int{len(v)}, half)}, nil))
	f := open(b, path)
	for _, name := range []string{"f32", "f16", "bf16"} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(4 * len(v)))
			for b.Loop() {
				if err := f.Float32s(name, v); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	v := make([]float32, 16<<20)
	path := filepath.Join(b.TempDir(), "x.safetensors")
	b.SetBytes(int64(4 * len(v)))
	for b.Loop() {
		if err := Write(path, []Tensor{Float32("a", []int{len(v)}, v)}, nil); err != nil {
			b.Fatal(err)
		}
	}
}
