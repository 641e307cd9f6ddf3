package gguf

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func bytesOf(raw []byte) func(io.Writer) error {
	return func(w io.Writer) error { _, err := w.Write(raw); return err }
}

func TestWriteRead(t *testing.T) {
	keys := []KeyValue{
		{"general.architecture", "bitnet"}, {"u32", uint32(7)}, {"u64", uint64(1 << 40)}, {"i32", int32(-7)}, {"f32", float32(1e-5)},
		{"yes", true}, {"no", false}, {"strings", []string{"", "Ġa", "\n\x00"}}, {"none", []string{}}, {"i32s", []int32{1, -3}}, {"f32s", []float32{0.5}},
	}
	raw := [][]byte{bytes.Repeat([]byte{1}, 12), bytes.Repeat([]byte{2}, 66*6), bytes.Repeat([]byte{3}, 6)}
	tensors := []Tensor{{"a", F32, []int{3}, bytesOf(raw[0])}, {"b.weight", TQ2_0, []int{3, 512}, bytesOf(raw[1])}, {"c", F16, []int{1, 3, 1}, bytesOf(raw[2])}}
	path := filepath.Join(t.TempDir(), "m.gguf")
	require.NoError(t, Write(path, keys, tensors))
	f, err := Open(path)
	require.NoError(t, err)
	defer f.Close()
	require.Equal(t, keys, f.Keys())
	for i, want := range tensors {
		info, ok := f.Info(want.Name)
		require.True(t, ok)
		require.Equal(t, want.Shape, info.Shape)
		require.Equal(t, want.Type, info.Type)
		require.Zero(t, info.Offset%32)
		got, err := f.Bytes(want.Name)
		require.NoError(t, err)
		require.Equal(t, raw[i], got)
	}
	_, ok := Value[uint32](f, "u64")
	require.False(t, ok, "another type")
	_, err = f.Bytes("d")
	require.ErrorContains(t, err, "no tensor")
}

func TestWriteMistakes(t *testing.T) {
	for name, row := range map[string]struct {
		keys    []KeyValue
		tensors []Tensor
	}{
		"comes twice":       {keys: []KeyValue{{"a", true}, {"a", true}}},
		"cannot be written": {keys: []KeyValue{{"a", 1.5}}},
		"name comes twice":  {tensors: []Tensor{{"a", F32, []int{1}, bytesOf(make([]byte, 4))}, {"a", F32, []int{1}, nil}}},
		"multiple of 256":   {tensors: []Tensor{{"a", TQ1_0, []int{2, 128}, nil}}},
		"axes":              {tensors: []Tensor{{"a", F32, nil, nil}}},
		"not one of F32":    {tensors: []Tensor{{"a", Type(8), []int{32}, nil}}},
		"for 8":             {tensors: []Tensor{{"a", F32, []int{2}, bytesOf(make([]byte, 4))}}},
	} {
		path := filepath.Join(t.TempDir(), "m.gguf")
		require.ErrorContains(t, Write(path, row.keys, row.tensors), name)
		require.NoFileExists(t, path)
	}
}

func TestTernary(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, typ := range []Type{F32, F16, Q4_0, TQ1_0, TQ2_0} {
		codes := make([]byte, 512)
		for i := range codes {
			codes[i] = byte(rng.IntN(3))
		}
		raw, err := AppendTernary(nil, typ, codes, 0.375)
		require.NoError(t, err)
		require.Len(t, raw, typ.RowBytes(512))
		got := make([]byte, 512)
		scale, err := Ternary(typ, raw, got)
		require.NoError(t, err)
		require.EqualValues(t, 0.375, scale)
		require.Equal(t, codes, got, typ)
		if typ.Block() > 1 {
			_, err = AppendTernary(nil, typ, codes[:33], 1)
			require.ErrorContains(t, err, "multiple")
		}
	}
}

// One element at a time, at the places that the formats' definitions give.
func TestTernaryPlaces(t *testing.T) {
	for e := range 256 {
		codes := bytes.Repeat([]byte{1}, 256)
		codes[e] = 2
		raw, err := AppendTernary(nil, TQ2_0, codes, 1)
		require.NoError(t, err)
		require.EqualValues(t, 2, raw[32*(e/128)+e%32]>>(2*(e%128/32))&3)
		require.Equal(t, []byte{0x00, 0x3c}, raw[64:], "1 as a half")

		raw, err = AppendTernary(nil, Q4_0, codes[:e/32*32+32], 1)
		require.NoError(t, err)
		nibble := raw[e/32*18+2+e%16] >> (4 * (e % 32 / 16)) & 15
		require.EqualValues(t, 9, nibble)
		require.Equal(t, []byte{0x00, 0x3c}, raw[:2])

		// All ones are 11111 in base 3, 121 of 243; a digit more at n is 3^(4-n).
		raw, err = AppendTernary(nil, TQ1_0, codes, 1)
		require.NoError(t, err)
		b, n, all := 0, 0, 121
		switch {
		case e < 160:
			b, n = e%32, e/32
		case e < 240:
			b, n = 32+(e-160)%16, (e-160)/16
		default:
			b, n, all = 48+(e-240)%4, (e-240)/4, 120
		}
		v := all + int(math.Pow(3, float64(4-n)))
		require.EqualValues(t, (v*256+242)/243, raw[b], "element %d", e)
	}
}

func TestHalf(t *testing.T) {
	for _, row := range []struct {
		f    float32
		want uint16
	}{
		{0, 0}, {float32(math.Copysign(0, -1)), 0x8000}, {1, 0x3c00}, {-2, 0xc000}, {65504, 0x7bff}, {65519.9, 0x7bff}, {65520, 0x7c00},
		{0x1p-14, 0x0400}, {0x1p-24, 1}, {0x1p-25, 0}, {0x1.8p-24, 2}, {0x1.8p-25, 1}, {1 + 0x1p-11, 0x3c00}, {1 + 0x3p-11, 0x3c02},
		{float32(math.Inf(-1)), 0xfc00}, {float32(math.NaN()), 0x7e00},
	} {
		require.Equal(t, row.want, Half(row.f), "%g", row.f)
	}
	for h := range 1 << 16 {
		f := Float(uint16(h))
		if f == f {
			require.EqualValues(t, h, Half(f))
		}
	}
}

// Every damage ends in one line that names the file, and never in a panic.
func TestHostile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.gguf")
	require.NoError(t, Write(path, []KeyValue{{"general.alignment", uint32(32)}, {"k", []string{"a", "b"}}}, []Tensor{{"t", F32, []int{2}, bytesOf(make([]byte, 8))}}))
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	read := func(b []byte) error {
		f, err := newFile("m.gguf", bytes.NewReader(b), int64(len(b)))
		if err == nil {
			_, err = f.Bytes("t")
		}
		return err
	}
	require.NoError(t, read(good))
	for n := range len(good) - 24 { // the last tensor's padding may be missing
		err := read(good[:n])
		require.Error(t, err, "%d bytes", n)
		require.NotContains(t, err.Error(), "\n")
		require.True(t, strings.HasPrefix(err.Error(), "m.gguf: "))
	}
	for at := range 128 {
		for _, v := range []byte{0, 1, 0x7f, 0x80, 0xff} {
			b := bytes.Clone(good)
			b[at] = v
			if err := read(b); err != nil {
				require.NotContains(t, err.Error(), "\n", fmt.Sprint(at))
			}
		}
	}
}

func FuzzOpen(f *testing.F) {
	path := filepath.Join(f.TempDir(), "m.gguf")
	codes := make([]byte, 256)
	row, _ := AppendTernary(nil, TQ1_0, codes, 1)
	if err := Write(path, []KeyValue{{"a", []string{"b"}}, {"c", float32(1)}}, []Tensor{{"t", TQ1_0, []int{1, 256}, bytesOf(row)}}); err != nil {
		f.Fatal(err)
	}
	good, _ := os.ReadFile(path)
	f.Add(good)
	f.Add(good[:40])
	f.Fuzz(func(t *testing.T, b []byte) {
		file, err := newFile("m.gguf", bytes.NewReader(b), int64(len(b)))
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		for _, info := range file.Tensors() {
			raw, err := file.Bytes(info.Name)
			require.NoError(t, err, "the layout was checked")
			cols := info.Shape[len(info.Shape)-1]
			codes := make([]byte, cols)
			_, _ = Ternary(info.Type, raw[:info.Type.RowBytes(cols)], codes)
		}
	})
}

// An array takes about the memory that it has in the file, whatever its numbers
// are: 16 MiB of bytes once took 256 MiB.
func TestArrayMemory(t *testing.T) {
	const n = 1 << 24
	var b bytes.Buffer
	b.WriteString(magic)
	for _, v := range []any{uint32(version), uint64(0), uint64(1), uint64(1), byte('k'), uint32(kindArray), uint32(kindUint8), uint64(n)} {
		require.NoError(t, binary.Write(&b, binary.LittleEndian, v))
	}
	b.Write(make([]byte, n))
	b.Write(make([]byte, 64))
	path := filepath.Join(t.TempDir(), "large.gguf")
	require.NoError(t, os.WriteFile(path, b.Bytes(), 0o600))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f, err := Open(path)
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	defer f.Close()
	v, ok := Value[[]byte](f, "k")
	require.True(t, ok)
	require.Len(t, v, n)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(2*n))
}
