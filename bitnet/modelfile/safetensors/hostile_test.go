package safetensors

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// file is a header of text, whatever it says, before n bytes of data.
func file(text string, n int) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	return append(append(out, text...), make([]byte, n)...)
}

func TestHostileHeaders(t *testing.T) {
	entry := func(dtype, shape, offsets string) string {
		return fmt.Sprintf(`{"w":{"dtype":%s,"shape":%s,"data_offsets":%s}}`, dtype, shape, offsets)
	}
	long := strings.Repeat("n", 1000)
	for _, c := range []struct {
		name string
		raw  []byte
		want string
	}{
		{"empty", nil, "0 bytes are too few"},
		{"seven bytes", make([]byte, 7), "7 bytes are too few"},
		{"no header", make([]byte, 8), "not a JSON object"},
		{"bomb", binary.LittleEndian.AppendUint64(nil, 1<<63+8), "more than the format's limit"},
		{"over the limit", binary.LittleEndian.AppendUint64(nil, maxHeader+1), "more than the format's limit"},
		{"past the file", binary.LittleEndian.AppendUint64(nil, 10), "claims 10 bytes of a file of 8"},
		{"array", file(`[]`, 0), "not a JSON object"},
		{"leading space", file(` {}`, 0), "not a JSON object"},
		{"cut JSON", file(`{"w":{"dtype":"F32"`, 0), "not a JSON object"},
		{"text after it", file(`{} {}`, 0), "not a JSON object"},
		{"zeros after it", file("{}\x00", 0), "not a JSON object"},
		{"missing comma", file(`{"a":1 "b":2}`, 0), "not a JSON object"},
		{"deep", file(`{"w":`+strings.Repeat("[", 100000)+strings.Repeat("]", 100000)+"}", 0), "not a JSON object"},
		{"not UTF-8", file("{\"\xff\":1}", 0), "not UTF-8"},
		{"gguf", []byte("GGUF\x03\x00\x00\x00\x00\x00\x00\x00"), "the header claims"},
		{"no object", file(`{"w":3}`, 0), `tensor "w": want an object, got "3"`},
		{"null", file(`{"w":null}`, 0), `tensor "w": want an object, got`},
		{"nested", file(`{"w":{"dtype":{}}}`, 0), `tensor "w": dtype: want a string, got "{"`},
		{"no dtype", file(`{"w":{"shape":[],"data_offsets":[0,0]}}`, 0), `tensor "w": dtype is missing`},
		{"no shape", file(`{"w":{"dtype":"U8","data_offsets":[0,0]}}`, 0), `tensor "w": shape is missing`},
		{"no offsets", file(`{"w":{"dtype":"U8","shape":[]}}`, 0), `tensor "w": data_offsets is missing`},
		{"unknown key", file(`{"w":{"dtype":"U8","shape":[],"data_offsets":[0,0],"path":"../../x"}}`, 0), `the format has no "path"`},
		{"key twice", file(`{"w":{"dtype":"U8","dtype":"U8","shape":[],"data_offsets":[0,1]}}`, 1), `"dtype" comes twice`},
		{"name twice", file(`{"w":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"\u0077":{"dtype":"U8","shape":[],"data_offsets":[1,2]}}`, 2), `tensor "w": the name comes twice`},
		{"dtype", file(entry(`"F8"`, `[]`, `[0,1]`), 1), `tensor "w": dtype "F8" is not`},
		{"dtype case", file(entry(`"f32"`, `[]`, `[0,4]`), 4), `dtype "f32" is not`},
		{"dtype number", file(entry(`1`, `[]`, `[0,1]`), 1), `want a string, got`},
		{"shape string", file(entry(`"U8"`, `"1"`, `[0,1]`), 1), `shape: want an array, got`},
		{"shape of strings", file(entry(`"U8"`, `["1"]`, `[0,1]`), 1), `shape: "1" is not an integer`},
		{"negative", file(entry(`"U8"`, `[-1]`, `[0,1]`), 1), `shape: "-1" is not an integer`},
		{"minus zero", file(entry(`"U8"`, `[-0]`, `[0,0]`), 0), `"-0" is not an integer`},
		{"fraction", file(entry(`"U8"`, `[1.0]`, `[0,1]`), 1), `"1.0" is not an integer`},
		{"exponent", file(entry(`"U8"`, `[1e0]`, `[0,1]`), 1), `"1e0" is not an integer`},
		{"huge axis", file(entry(`"U8"`, `[9223372036854775808]`, `[0,1]`), 1), `is not an integer from 0`},
		{"product", file(entry(`"F32"`, `[4294967296,4294967296]`, `[0,1]`), 1), `overflows`},
		{"product to zero", file(entry(`"F32"`, `[2147483648,2147483648,4]`, `[0,0]`), 0), `overflows`},
		{"bytes", file(entry(`"F64"`, `[2305843009213693952]`, `[0,0]`), 0), `overflows`},
		{"axes", file(entry(`"U8"`, `[1`+strings.Repeat(",1", maxRank)+`]`, `[0,1]`), 1), `more than 32 numbers`},
		{"one offset", file(entry(`"U8"`, `[1]`, `[0]`), 1), `are not a range`},
		{"three offsets", file(entry(`"U8"`, `[1]`, `[0,1,2]`), 1), `more than 2 numbers`},
		{"backwards", file(entry(`"U8"`, `[1]`, `[1,0]`), 1), `are not a range`},
		{"size", file(entry(`"F32"`, `[2,3]`, `[0,20]`), 20), `tensor "w": data_offsets [0 20] hold 20 bytes, but F32 [2 3] has 24`},
		{"outside", file(entry(`"U8"`, `[8]`, `[0,8]`), 7), `tensor "w": bytes 0 to 8 are outside of the file's 7`},
		{"far outside", file(entry(`"U8"`, `[1]`, `[9223372036854775806,9223372036854775807]`), 1), `outside of the file's 1`},
		{"hole before", file(entry(`"U8"`, `[1]`, `[1,2]`), 2), `leaves a hole after 0`},
		{"hole", file(`{"a":{"dtype":"U8","shape":[],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[],"data_offsets":[2,3]}}`, 3), `tensor "b": it begins at byte 2 and leaves a hole after 1`},
		{"overlap", file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 3), `tensor "b": it begins at byte 1, inside`},
		{"same bytes", file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}`, 2), `tensor "b": it begins at byte 0, inside`},
		{"empty inside", file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[0],"data_offsets":[1,1]}}`, 2), `inside`},
		{"bytes after", file(entry(`"U8"`, `[1]`, `[0,1]`), 2), `end at byte 1 of 2`},
		{"data without tensors", file(`{}`, 5), `end at byte 0 of 5`},
		{"metadata list", file(`{"__metadata__":[]}`, 0), `want an object, got`},
		{"metadata number", file(`{"__metadata__":{"a":1}}`, 0), `__metadata__: "a": want a string, got`},
		{"metadata key twice", file(`{"__metadata__":{"a":"1","a":"2"}}`, 0), `key "a" comes twice`},
		{"metadata twice", file(`{"__metadata__":{},"__metadata__":{}}`, 0), `comes twice`},
		{"control characters", file(`{"a\n\u001b[2J":{}}`, 0), `tensor "a\n\x1b[2J": dtype is missing`},
		{"long name", file(`{"`+long+`":{}}`, 0), `nnn"...: dtype is missing`},
	} {
		path := filepath.Join(t.TempDir(), "x.safetensors")
		require.NoError(t, os.WriteFile(path, c.raw, 0o644))
		_, err := Open(path)
		require.ErrorContains(t, err, c.want, c.name)
		require.ErrorContains(t, err, path, c.name)
		require.NotContains(t, err.Error(), "\n", c.name)
		require.Less(t, len(err.Error()), len(path)+400, c.name)
	}
}

func TestOpenRefuses(t *testing.T) {
	_, err := Open(t.TempDir())
	require.ErrorContains(t, err, "not a regular file")
	_, err = Open(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// A sparse file claims more than any machine has.
func TestSparseFile(t *testing.T) {
	const n = 1 << 40
	path := filepath.Join(t.TempDir(), "x.safetensors")
	head := file(fmt.Sprintf(`{"w":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}`, n, n), 0)
	require.NoError(t, os.WriteFile(path, head, 0o644))
	if err := os.Truncate(path, int64(len(head))+n); err != nil {
		t.Skip("no sparse files of a terabyte here: ", err)
	}
	f := open(t, path)
	_, err := f.Bytes("w")
	require.ErrorContains(t, err, "too many to be read at once")
	_, err = f.Ints("w")
	require.ErrorContains(t, err, "too many to be read at once")
}

func TestCutWhileRead(t *testing.T) {
	path := write(t, nil, Float32("w", []int{1000}, make([]float32, 1000)))
	f := open(t, path)
	require.NoError(t, os.Truncate(path, 500))
	want := `tensor "w": the file became shorter while it was read`
	require.ErrorContains(t, f.Float32s("w", make([]float32, 1000)), want)
	_, err := f.Float64s("w")
	require.ErrorContains(t, err, want)
	_, err = f.Bytes("w")
	require.ErrorContains(t, err, want)
}

// A header costs memory in proportion to its own bytes, whatever it claims.
func TestHeaderMemory(t *testing.T) {
	text := `{"w":{"dtype":"U8","shape":[0` + strings.Repeat(",0", 1<<20) + `],"data_offsets":[0,0]}}`
	raw := file(text, 0)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := newFile("x", bytes.NewReader(raw), int64(len(raw)))
	runtime.ReadMemStats(&after)
	require.ErrorContains(t, err, "more than 32 numbers")
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(4*len(raw)))
}

func FuzzOpen(f *testing.F) {
	f.Add(file(`{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"I8","shape":[],"data_offsets":[8,9]}}`, 9))
	f.Add(file(`{"a":{"dtype":"F16","shape":[1,3],"data_offsets":[0,6]},"b":{"dtype":"U64","shape":[0,7],"data_offsets":[6,6]}}  `, 6))
	f.Add(file(`{}`, 0))
	f.Add(make([]byte, 8))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, raw []byte) {
		file, err := newFile("x", bytes.NewReader(raw), int64(len(raw)))
		if err != nil {
			require.NotContains(t, err.Error(), "\n")
			return
		}
		var again []Tensor
		for _, info := range file.Tensors() {
			if v, err := file.Float64s(info.Name); err == nil {
				require.Len(t, v, info.Elements())
				require.NoError(t, file.Float32s(info.Name, make([]float32, len(v))))
			} else if v, err := file.Ints(info.Name); err == nil {
				require.Len(t, v, info.Elements())
			} else {
				require.Equal(t, "U64", info.DType)
			}
			data, err := file.Bytes(info.Name)
			require.NoError(t, err)
			again = append(again, Tensor{info.Name, info.DType, info.Shape, func(w io.Writer) error {
				_, err := w.Write(data)
				return err
			}})
		}
		// What was accepted can be written, and reads the same.
		path := filepath.Join(dir, "again")
		require.NoError(t, Write(path, again, file.Metadata()))
		copied, err := Open(path)
		require.NoError(t, err)
		defer copied.Close()
		require.Equal(t, file.Tensors(), copied.Tensors())
	})
}
