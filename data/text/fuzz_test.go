//go:build !js

package text

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/pierrec/lz4/v4"
	"github.com/stretchr/testify/require"
)

// The bodies of these targets read from memory and the seeds are small, so that
// many inputs are tried in a second.

func FuzzParquet(f *testing.F) {
	texts := []string{"a", "", "bb", "a"}
	for _, codec := range []compress.Codec{&parquet.Uncompressed, &parquet.Snappy, &parquet.Zstd, &parquet.Lz4Raw, &parquet.Brotli} {
		for _, version := range []int{1, 2} {
			var rows []optionalDictRow
			var delta []deltaRow
			for i := range texts {
				rows = append(rows, optionalDictRow{&texts[i]})
				delta = append(delta, deltaRow{Text: texts[i]})
			}
			for _, path := range []string{
				write(f, rows, 10, parquet.Compression(codec), parquet.DataPageVersion(version)),
				write(f, delta, 10, parquet.Compression(codec), parquet.DataPageVersion(version)),
			} {
				b, err := os.ReadFile(path)
				require.NoError(f, err)
				f.Add(b, version == 1)
			}
		}
	}
	f.Add([]byte("PAR1"), true)
	whole := smallPage
	f.Fuzz(func(t *testing.T, b []byte, small bool) {
		if smallPage = whole; !small {
			smallPage = 16
		}
		n := 0
		o := Options{MaxDocument: 1 << 16}.withDefaults()
		err := readParquet(context.Background(), bytes.NewReader(b), int64(len(b)), "f.parquet", 0, o, func(d Document, err error) bool {
			require.LessOrEqual(t, len(d.Text), 1<<16)
			n++
			return n < 1000 // runs are free, so a small file can hold many rows
		})
		if err == nil {
			require.GreaterOrEqual(t, len(b), 12)
		}
	})
}

// What Snappy's and LZ4's libraries decompress, the decoder of large pages
// decompresses to the same bytes.
func FuzzBlocks(f *testing.F) {
	for _, s := range []string{"", "a", "abababababababab", strings.Repeat("the cat ", 40)} {
		f.Add(snappy.Encode(nil, []byte(s)), true)
		b := make([]byte, lz4.CompressBlockBound(len(s)))
		n, err := lz4.CompressBlock([]byte(s), b, nil)
		require.NoError(f, err)
		f.Add(b[:n], false)
	}
	f.Fuzz(func(t *testing.T, b []byte, isSnappy bool) {
		const most = 1 << 16
		var want []byte
		var err error
		input := func() *bufio.Reader { return bufio.NewReader(bytes.NewReader(b)) }
		var r io.Reader
		if isSnappy {
			n, e := snappy.DecodedLen(b)
			if e != nil || n > most {
				return
			}
			want, err = snappy.Decode(nil, b)
			if r, e = snappyStream(input, int64(n)); e != nil {
				require.Error(t, err)
				return
			}
		} else {
			want = make([]byte, most)
			var n int
			if n, err = lz4.UncompressBlock(b, want); err == nil {
				want = want[:n]
			}
			r = newLZ77(input(), new(lz4Elements), 1<<16)
		}
		got, failed := io.ReadAll(io.LimitReader(r, most+1))
		if err == nil {
			require.NoError(t, failed)
			require.True(t, bytes.Equal(want, got))
		}
	})
}

func FuzzNumbers(f *testing.F) {
	f.Add([]byte("\x80\x01\x04\x03\x0e\x02\x03\x00\x00\x00\xff\xff\xff\xff"), int64(3), uint8(3))
	f.Fuzz(func(t *testing.T, b []byte, most int64, width uint8) {
		most = most & 0xfff
		s := &source{b: b, ctx: context.Background()}
		var room []byte
		if d, err := numbers(s, most, &room); err == nil {
			require.LessOrEqual(t, d.left, uint64(most))
			for d.left > 0 {
				_, err := d.next()
				require.NoError(t, err)
			}
		}
		h := hybrid{s: &source{b: b, ctx: context.Background()}, width: uint(width % 33)}
		for range most {
			v, err := h.next()
			if err != nil {
				break
			}
			if h.packed {
				require.Less(t, uint64(v), uint64(1)<<h.width)
			}
		}
	})
}

func FuzzLines(f *testing.F) {
	f.Add([]byte(`{"text":"a"}` + "\n" + `{"x":[{"y":"\""}],"text":"b"}`))
	f.Add([]byte(`{"text":"\u00fc","text":null}`))
	f.Add([]byte(`{"a":{"b":"c"},"a.b":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		// The field found must be what encoding/json finds.
		got, err := field(b, "text")
		var all map[string]any
		if json.Unmarshal(b, &all) != nil || all == nil {
			require.Error(t, err)
		} else if want, ok := all["text"].(string); ok {
			require.NoError(t, err)
			require.Equal(t, want, got)
		} else if v, ok := all["text"]; ok && v == nil {
			require.NoError(t, err)
			require.Empty(t, got)
		} else {
			require.Error(t, err)
		}
		got, err = field(b, "a.b")
		if inner, ok := all["a"].(map[string]any); err == nil && ok && got != "" && all["a.b"] == nil {
			require.Equal(t, inner["b"], got)
		}
		s, err := newStream(context.Background(), io.NopCloser(bytes.NewReader(b)), "f.jsonl")
		require.NoError(t, err)
		defer s.Close()
		_ = readLines(context.Background(), s, "f.jsonl", 0, Options{MaxDocument: 1 << 16}.withDefaults(), func(Document, error) bool { return true })
	})
}

func FuzzCompressed(f *testing.F) {
	f.Add(zipped(f, []byte(`{"text":"a"}`)), true)
	f.Add(zstandard(f, []byte(`{"text":"a"}`)), false)
	f.Fuzz(func(t *testing.T, b []byte, gz bool) {
		name, read := "f.jsonl.zst", readLines
		if gz {
			name, read = "f.txt.gz", readText
		}
		s, err := newStream(context.Background(), io.NopCloser(bytes.NewReader(b)), name)
		if err != nil {
			return
		}
		defer s.Close()
		n := 0
		_ = read(context.Background(), s, name, 0, Options{MaxDocument: 1 << 16}.withDefaults(), func(Document, error) bool {
			n++
			return n < 1000
		})
	})
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte("a\n--\nb--c"), "--")
	f.Fuzz(func(t *testing.T, b []byte, mark string) {
		if mark == "" || bytes.HasPrefix(b, []byte("\xef\xbb\xbf")) {
			t.Skip()
		}
		s, err := newStream(context.Background(), io.NopCloser(bytes.NewReader(b)), "f.txt")
		require.NoError(t, err)
		defer s.Close()
		got := map[int64]string{}
		err = readText(context.Background(), s, "f.txt", 0, Options{Split: mark}.withDefaults(), func(d Document, _ error) bool {
			got[d.Index] = d.Text
			return true
		})
		require.NoError(t, err)
		want := map[int64]string{}
		for i, s := range strings.Split(string(b), mark) {
			if s = strings.Trim(s, "\r\n"); strings.TrimSpace(s) != "" {
				want[int64(i)] = s
			}
		}
		require.Equal(t, want, got)
	})
}

// The values of a plain page are the same from memory and from a reader.
func FuzzSource(f *testing.F) {
	f.Add(binary.LittleEndian.AppendUint32(nil, 3), "abc", 10)
	f.Fuzz(func(t *testing.T, b []byte, more string, limit int) {
		b = append(b, more...)
		memory := &source{b: b, ctx: context.Background()}
		stream := &source{r: bytes.NewReader(b), left: int64(len(b)), ctx: context.Background()}
		limit &= 0xffff
		for {
			v, err := memory.value(limit)
			w, again := stream.value(limit)
			require.Equal(t, err, again)
			require.Equal(t, v, w)
			if err != nil {
				return
			}
		}
	})
}
