//go:build !js

package text

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
	"github.com/stretchr/testify/require"
)

// collect reads all documents of a file; index -> text.
func collect(path string, skip int64, o Options) (map[int64]string, error) {
	got := map[int64]string{}
	last := int64(-1)
	for d, err := range Documents(context.Background(), path, skip, o) {
		if err != nil {
			return got, err
		}
		if d.File != path || d.Index <= last {
			return got, fmt.Errorf("document %d of %s after %d", d.Index, d.File, last)
		}
		last = d.Index
		got[d.Index] = d.Text
	}
	return got, nil
}

// words makes texts of many lengths, empty ones among them.
func words(n int) []string {
	r := rand.New(rand.NewPCG(1, uint64(n)))
	out := make([]string, n)
	for i := range out {
		switch i % 5 {
		case 0:
			out[i] = strings.Repeat("ab ", r.IntN(40))
		case 1:
			out[i] = "the same"
		case 2:
			out[i] = fmt.Sprint("n", i)
		case 3:
			out[i] = strings.Repeat("ü€😀", r.IntN(900))
		}
	}
	return out
}

func expect(texts []string, from int64) map[int64]string {
	want := map[int64]string{}
	for i, s := range texts {
		if s != "" && int64(i) >= from {
			want[int64(i)] = s
		}
	}
	return want
}

// write makes a parquet file of rows with the schema's options.
func write[T any](t testing.TB, rows []T, perGroup int, options ...parquet.WriterOption) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "a.parquet")
	f, err := os.Create(path)
	require.NoError(t, err)
	w := parquet.NewGenericWriter[T](f, options...)
	for from := 0; from < len(rows); from += perGroup {
		_, err := w.Write(rows[from:min(from+perGroup, len(rows))])
		require.NoError(t, err)
		require.NoError(t, w.Flush())
	}
	require.NoError(t, w.Close())
	require.NoError(t, f.Close())
	return path
}

type plainRow struct {
	Text string `parquet:"text"`
}

type dictRow struct {
	ID   int64  `parquet:"id"`
	Text string `parquet:"text,dict"`
}

type deltaRow struct {
	Text string  `parquet:"text,delta"`
	Last float64 `parquet:"score"`
}

type nested struct {
	A []int64 `parquet:"a"`
	B struct {
		C, D string
	} `parquet:"b"`
}

type optionalRow struct {
	Meta nested            `parquet:"meta"`
	Tags map[string]string `parquet:"tags"`
	Text *string           `parquet:"text,optional"`
	URL  string            `parquet:"url"`
}

type optionalDictRow struct {
	Text *string `parquet:"text,optional,dict"`
}

func TestParquet(t *testing.T) {
	texts := words(3000)
	lengths := parquet.NewSchema("rows", parquet.Group{"text": parquet.Encoded(parquet.String(), &parquet.DeltaLengthByteArray)})
	codecs := map[string]compress.Codec{
		"none": &parquet.Uncompressed, "snappy": &parquet.Snappy, "gzip": &parquet.Gzip, "zstd": &parquet.Zstd,
		"brotli": &parquet.Brotli, "lz4": &parquet.Lz4Raw,
	}
	defer func(n int64) { smallPage = n }(smallPage)
	for name, codec := range codecs {
		for _, version := range []int{1, 2} {
			for _, page := range []int{500, 1 << 20} {
				options := []parquet.WriterOption{parquet.Compression(codec), parquet.DataPageVersion(version), parquet.PageBufferSize(page)}
				var plain []plainRow
				var dict []dictRow
				var delta []deltaRow
				var optional []optionalRow
				var optionalDict []optionalDictRow
				for i := range texts {
					plain = append(plain, plainRow{texts[i]})
					dict = append(dict, dictRow{int64(i), texts[i]})
					delta = append(delta, deltaRow{texts[i], 1})
					p := &texts[i]
					if texts[i] == "" {
						p = nil
					}
					o := optionalRow{Text: p, Tags: map[string]string{"k": "v"}}
					o.Meta.A = make([]int64, i%3)
					optional = append(optional, o)
					optionalDict = append(optionalDict, optionalDictRow{p})
				}
				for kind, path := range map[string]string{
					"plain":         write(t, plain, 700, options...),
					"dict":          write(t, dict, 700, options...),
					"delta":         write(t, delta, 700, options...),
					"lengths":       write(t, plain, 700, append(options, lengths)...),
					"optional":      write(t, optional, 700, options...),
					"optional dict": write(t, optionalDict, 700, options...),
				} {
					t.Run(fmt.Sprintf("%s/v%d/%d/%s", name, version, page, kind), func(t *testing.T) {
						for _, smallPage = range []int64{8 << 20, 100} { // in one piece, and bit by bit
							for _, skip := range []int64{0, 699, 700, 2999, 3000} {
								if smallPage == 100 && skip%700 != 699 && skip != 0 {
									continue
								}
								got, err := collect(path, skip, Options{})
								require.NoError(t, err)
								require.Equal(t, expect(texts, skip), got, "skip %d", skip)
							}
						}
					})
				}
			}
		}
	}
}

// Files that other writers made: those that parquet-go tests itself with, read
// by parquet-go and here.
func TestParquetOfOtherWriters(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/parquet-go/parquet-go").Output()
	if err != nil {
		t.Skip("the go command is not here to find the files:", err)
	}
	paths, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "testdata", "*.parquet"))
	require.NoError(t, err)
	if len(paths) == 0 {
		t.Skip("parquet-go came without its test files")
	}
	columns := 0
	for _, path := range paths {
		f, err := os.Open(path)
		require.NoError(t, err)
		defer f.Close()
		info, err := f.Stat()
		require.NoError(t, err)
		p, err := parquet.OpenFile(f, info.Size())
		if err != nil {
			continue
		}
		for _, c := range p.Root().Columns() {
			if !c.Leaf() || c.Repeated() || c.Type().Kind() != parquet.ByteArray {
				continue
			}
			want := map[int64]string{}
			row := int64(0)
			for _, g := range p.RowGroups() {
				pages := g.ColumnChunks()[c.Index()].Pages()
				for {
					page, err := pages.ReadPage()
					if err == io.EOF {
						break
					}
					require.NoError(t, err)
					values := make([]parquet.Value, page.NumValues())
					n, err := page.Values().ReadValues(values)
					if err != io.EOF {
						require.NoError(t, err)
					}
					require.Len(t, values, n)
					for _, v := range values {
						if s := string(v.ByteArray()); s != "" {
							want[row] = s
						}
						row++
					}
				}
				pages.Close()
			}
			got, err := collect(path, 0, Options{Field: c.Name()})
			if err != nil && (strings.Contains(err.Error(), "not supported") || strings.Contains(err.Error(), "BIT_PACKED")) {
				t.Logf("%s %s: %v", filepath.Base(path), c.Name(), err)
				continue
			}
			require.NoError(t, err)
			if filepath.Base(path) == "lz4_raw_compressed_larger.parquet" {
				// parquet-go cannot read it; DuckDB does, and finds this.
				require.Empty(t, want)
				require.Len(t, got, 10_000)
				require.Equal(t, "c7ce6bef-d5b0-4863-b199-8ea8c7fb117b", got[0])
				require.Equal(t, "85440778-460a-41ac-aa2e-ac3ee41696bf", got[9999])
				continue
			}
			require.Equal(t, want, got, "%s %s", path, c.Name())
			columns++
		}
	}
	t.Logf("%d columns agree", columns)
	require.Greater(t, columns, 30)
}

func TestParquetRefused(t *testing.T) {
	type row struct {
		N    int64    `parquet:"n"`
		List []string `parquet:"list"`
		B    struct {
			Text string `parquet:"text"`
		} `parquet:"b"`
	}
	path := write(t, make([]row, 10), 10)
	for field, want := range map[string]string{
		"text":  `there is no column "text"; choose one with --field: b.text`,
		"b.txt": `there is no column "b.txt"; choose one with --field: b.text`,
		"n":     `"n" does not hold strings`,
		"list":  `column "list" is a list`,
		"b":     `"b" is a group of columns and does not hold strings itself; choose one of it with --field: b.text`,
	} {
		_, err := collect(path, 0, Options{Field: field})
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, path)
		require.ErrorContains(t, err, "--field")
	}
	path = write(t, []plainRow{{"short"}, {"longer than allowed"}}, 1)
	_, err := collect(path, 0, Options{MaxDocument: 10})
	require.ErrorContains(t, err, "row group 1, row 1")
	require.ErrorContains(t, err, "--max-document")

	path = filepath.Join(t.TempDir(), "lzo.parquet")
	require.NoError(t, os.WriteFile(path, compose(t, format.LZO, 1, dataPage(t, format.Plain, 1, 5, []byte("\x01\x00\x00\x00a"))), 0o644))
	_, err = collect(path, 0, Options{})
	require.ErrorContains(t, err, "LZO")
	require.ErrorContains(t, err, "write the file again")
}

// Whatever is cut or flipped: no panic, and an error that names the file, or
// texts that are no longer than the file could hold.
func TestParquetDamaged(t *testing.T) {
	texts := words(300)
	defer func(n int64) { smallPage = n }(smallPage)
	for n, codec := range []compress.Codec{&parquet.Uncompressed, &parquet.Snappy, &parquet.Gzip, &parquet.Zstd, &parquet.Brotli, &parquet.Lz4Raw,
		&parquet.Uncompressed, &parquet.Snappy, &parquet.Gzip, &parquet.Zstd, &parquet.Brotli, &parquet.Lz4Raw} {
		if smallPage = 8 << 20; n >= 6 {
			smallPage = 100
		}
		var rows []optionalDictRow
		for i := range texts {
			rows = append(rows, optionalDictRow{&texts[i]})
		}
		good, err := os.ReadFile(write(t, rows, 100, parquet.Compression(codec)))
		require.NoError(t, err)
		path := filepath.Join(t.TempDir(), "bad.parquet")
		r := rand.New(rand.NewPCG(3, 4))
		failed := 0
		tries := 200
		if n >= 6 {
			tries = 60
		}
		for i := range tries {
			bad := bytes.Clone(good)
			if i%2 == 0 {
				bad = bad[:r.IntN(len(bad))]
			} else {
				at := r.IntN(len(bad))
				if i%4 == 1 { // most of the ways to fail are in the footer
					at = len(bad) - 1 - r.IntN(800)
				}
				bad[at] ^= 1 << r.IntN(8)
			}
			require.NoError(t, os.WriteFile(path, bad, 0o644))
			if _, err := collect(path, 0, Options{}); err != nil {
				require.ErrorContains(t, err, path)
				failed++
			} else if i%2 == 0 {
				t.Fatalf("cut to %d bytes and still read", len(bad))
			}
		}
		require.Greater(t, failed, tries/2)
	}
}

// compose builds a parquet file of one required string column out of raw pages.
func compose(t testing.TB, codec format.CompressionCodec, rows int64, pages ...[]byte) []byte {
	t.Helper()
	body := append([]byte("PAR1"), bytes.Join(pages, nil)...)
	meta := format.FileMetaData{
		Version: 1, NumRows: rows,
		Schema: thrift.Slice[format.SchemaElement]{
			{Name: "root", NumChildren: thrift.New(int32(1))},
			{Name: "text", Type: thrift.New(format.ByteArray), RepetitionType: thrift.New(format.Required)},
		},
		RowGroups: thrift.Slice[format.RowGroup]{{
			NumRows: rows, TotalByteSize: 1,
			Columns: thrift.Slice[format.ColumnChunk]{{MetaData: format.ColumnMetaData{
				Type: format.ByteArray, Encoding: thrift.Slice[format.Encoding]{format.Plain}, PathInSchema: thrift.Slice[string]{"text"},
				Codec: codec, NumValues: rows, TotalCompressedSize: int64(len(body) - 4), DataPageOffset: 4,
			}}},
		}},
	}
	foot, err := thrift.Marshal(new(thrift.CompactProtocol), &meta)
	require.NoError(t, err)
	body = append(body, foot...)
	body = binary.LittleEndian.AppendUint32(body, uint32(len(foot)))
	return append(body, "PAR1"...)
}

func header(t testing.TB, h format.PageHeader) []byte {
	t.Helper()
	b, err := thrift.Marshal(new(thrift.CompactProtocol), &h)
	require.NoError(t, err)
	return b
}

func dataPage(t testing.TB, encoding format.Encoding, values int32, plain int32, body []byte) []byte {
	return append(header(t, format.PageHeader{
		Type: format.DataPage, UncompressedPageSize: plain, CompressedPageSize: int32(len(body)),
		DataPageHeader: thrift.New(format.DataPageHeader{NumValues: values, Encoding: encoding, DefinitionLevelEncoding: format.RLE, RepetitionLevelEncoding: format.RLE}),
	}), body...)
}

func dictPage(t testing.TB, values int32, body []byte) []byte {
	return append(header(t, format.PageHeader{
		Type: format.DictionaryPage, UncompressedPageSize: int32(len(body)), CompressedPageSize: int32(len(body)),
		DictionaryPageHeader: thrift.New(format.DictionaryPageHeader{NumValues: values, Encoding: format.Plain}),
	}), body...)
}

func TestParquetBombs(t *testing.T) {
	z, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	zeros := z.EncodeAll(make([]byte, 300<<20), nil) // 300 MiB in a few KiB
	raw := func(foot []byte) []byte {
		b := append([]byte("PAR1"), foot...)
		return append(binary.LittleEndian.AppendUint32(b, uint32(len(foot))), "PAR1"...)
	}
	huge := binary.AppendUvarint(nil, 1<<40)
	for name, c := range map[string]struct {
		file []byte
		want string
	}{
		// Field 2 (schema) is a list of 2^31 structures.
		"list":          {raw(append([]byte{0x29, 0xfc}, binary.AppendUvarint(nil, 1<<31-1)...)), "list of 2147483647 elements"},
		"nested":        {raw(bytes.Repeat([]byte{0x1c}, 1<<20)), "nested deeper"},
		"nested lists":  {raw(append([]byte{0x19}, bytes.Repeat([]byte{0x19}, 1<<20)...)), "nested deeper"},
		"structures":    {raw(append(append([]byte{0x29, 0xfc}, binary.AppendUvarint(nil, 1<<21)...), bytes.Repeat([]byte{0x48, 0, 0}, 1<<21)...)), "too many structures"},
		"empty structs": {raw(append([]byte{0x29, 0xfc, 0x80, 0x80, 0x20}, make([]byte, 1<<20)...)), "empty structure"},
		"footer size":   {append([]byte("PAR1"), 0xff, 0xff, 0xff, 0xff, 'P', 'A', 'R', '1'), "does not fit"},
		"page size":     {compose(t, format.Zstd, 1, dataPage(t, format.Plain, 1, 1<<30, []byte("x"))), "does not fit"},
		"zstd":          {compose(t, format.Zstd, 1, dataPage(t, format.Plain, 1, 100, zeros)), "ZSTD"},
		"snappy":        {compose(t, format.Snappy, 1, dataPage(t, format.Plain, 1, 100, []byte{0xff, 0xff, 0xff, 0xff, 0x0f, 0})), "snappy"},
		"string":        {compose(t, format.Uncompressed, 1, dataPage(t, format.Plain, 1, 4, []byte{0xff, 0xff, 0xff, 0x7f})), "string of 2147483647 bytes"},
		"dictionary":    {compose(t, format.Uncompressed, 1, dictPage(t, 1<<30, []byte("abcd"))), "1073741824 values in 4 bytes"},
		"index":         {compose(t, format.Uncompressed, 3, dictPage(t, 1, []byte("\x01\x00\x00\x00a")), dataPage(t, format.RLEDictionary, 3, 3, []byte{8, 6, 200})), "index 200 in a dictionary of 1"},
		"bit width":     {compose(t, format.Uncompressed, 3, dictPage(t, 1, []byte("\x01\x00\x00\x00a")), dataPage(t, format.RLEDictionary, 3, 1, []byte{99})), "indexes of 99 bits"},
		"no dictionary": {compose(t, format.Uncompressed, 1, dataPage(t, format.RLEDictionary, 1, 1, []byte{1})), "dictionary that is missing"},
		"too many":      {compose(t, format.Uncompressed, 1, dataPage(t, format.Plain, 1<<30, 1, []byte("x"))), "1073741824 values where 1 rows"},
		"too few":       {compose(t, format.Uncompressed, 2, dataPage(t, format.Plain, 1, 5, []byte("\x01\x00\x00\x00a"))), "end 1 rows early"},
		"delta count":   {compose(t, format.Uncompressed, 1, dataPage(t, format.DeltaLengthByteArray, 1, 13, append([]byte{0x80, 1, 4}, append(huge, 0, 0, 0, 0)...))), "lengths"},
		"shared":        {compose(t, format.Uncompressed, 1, dataPage(t, format.DeltaByteArray, 1, 10, []byte("\x80\x01\x04\x01\x0e\x80\x01\x04\x01\x00"))), "7 bytes shared with a string of 0"},
		"encoding":      {compose(t, format.Uncompressed, 1, dataPage(t, format.ByteStreamSplit, 1, 1, []byte("x"))), "not supported"},
		"rows":          {compose(t, format.Uncompressed, 1<<36, dataPage(t, format.Plain, 1, 4, []byte{0, 0, 0, 0})), "68719476736 rows in"},
		"encrypted":     {append([]byte("PARE"), "12345678PARE"...), "encrypted"},
		"not parquet":   {[]byte("hello, I am not parquet"), "does not begin with PAR1"},
		"empty":         {nil, "too few"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bomb.parquet")
			require.NoError(t, os.WriteFile(path, c.file, 0o644))
			_, err := collect(path, 0, Options{})
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, path)
		})
	}
	// A run of a billion indexes is not a bomb when only its first three are asked for.
	path := filepath.Join(t.TempDir(), "run.parquet")
	run := append([]byte{8}, append(binary.AppendUvarint(nil, 1<<60), 0)...)
	require.NoError(t, os.WriteFile(path, compose(t, format.Uncompressed, 3, dictPage(t, 1, []byte("\x01\x00\x00\x00a")),
		dataPage(t, format.RLEDictionary, 3, int32(len(run)), run)), 0o644))
	got, err := collect(path, 0, Options{})
	require.NoError(t, err)
	require.Equal(t, map[int64]string{0: "a", 1: "a", 2: "a"}, got)
}

func TestStopsReading(t *testing.T) {
	path := write(t, []plainRow{{"a"}, {"b"}, {"c"}}, 2)
	n := 0
	for _, err := range Documents(context.Background(), path, 0, Options{}) {
		require.NoError(t, err)
		n++
		break
	}
	require.Equal(t, 1, n)
	_, err := collect(filepath.Join(t.TempDir(), "none.parquet"), 0, Options{})
	require.ErrorIs(t, err, os.ErrNotExist)
	require.NotErrorIs(t, err, errors.ErrUnsupported)
}

func BenchmarkParquet(b *testing.B) {
	var rows []plainRow
	size := 0
	for i := range 20_000 {
		s := strings.Repeat(fmt.Sprintf("The %d. small cat sat on the mat; it was happy.\n", i), 1+i%40)
		size += len(s)
		rows = append(rows, plainRow{s})
	}
	for name, codec := range map[string]compress.Codec{"snappy": &parquet.Snappy, "zstd": &parquet.Zstd} {
		path := write(b, rows, 1000, parquet.Compression(codec))
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for range b.N {
				n := 0
				for d, err := range Documents(context.Background(), path, 0, Options{}) {
					require.NoError(b, err)
					n += len(d.Text)
				}
				require.Equal(b, size, n)
			}
		})
	}
}

// Small files of DuckDB 1.5 and pyarrow: all compressions, columns in groups,
// nulls at each level.
func TestParquetGroups(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("testdata", "*.parquet"))
	require.NoError(t, err)
	require.Greater(t, len(paths), 8)
	text, inner, deep := map[int64]string{}, map[int64]string{}, map[int64]string{}
	for i := range int64(400) {
		if i%5 != 0 {
			text[i] = fmt.Sprintf("row %d of many", i)
		}
		if i%11 != 0 {
			deep[i] = fmt.Sprint("deep ", i)
			if i%7 != 0 {
				inner[i] = fmt.Sprint("x", i)
			}
		}
	}
	defer func(n int64) { smallPage = n }(smallPage)
	for _, path := range paths {
		for _, smallPage = range []int64{8 << 20, 10} {
			for name, want := range map[string]map[int64]string{"text": text, "a.b": inner, "a.c.d": deep} {
				got, err := collect(path, 0, Options{Field: name})
				require.NoError(t, err, "%s %s", path, name)
				require.Equal(t, want, got, "%s %s", path, name)
			}
			for name, want := range map[string]string{
				"a": "--field: a.b, a.c.d", "a.c": "--field: a.c.d", "a.l": "is a group", "a.l.list.element": "is a list", "b": "--field: text, a.b, a.c.d",
			} {
				_, err := collect(path, 0, Options{Field: name})
				require.ErrorContains(t, err, want)
			}
		}
	}
}

// The memory that a page of 40 MiB takes: what is allocated on the way to its
// last row.
func TestLargePagesTakeLittleMemory(t *testing.T) {
	const size, rows = 40 << 20, 1 << 14
	texts := make([]plainRow, rows)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range texts {
		texts[i].Text = strings.Repeat(fmt.Sprintf("%x and so on; ", r.Uint64()), size/rows/28+r.IntN(10))
	}
	lengths := parquet.NewSchema("rows", parquet.Group{"text": parquet.Encoded(parquet.String(), &parquet.DeltaLengthByteArray)})
	for name, codec := range map[string]compress.Codec{
		"none": &parquet.Uncompressed, "gzip": &parquet.Gzip, "zstd": &parquet.Zstd, "brotli": &parquet.Brotli, "lz4": &parquet.Lz4Raw,
	} {
		t.Run(name, func(t *testing.T) {
			options := []parquet.WriterOption{parquet.Compression(codec), parquet.PageBufferSize(256 << 20)}
			if name == "zstd" {
				options = append(options, lengths, parquet.DataPageVersion(2))
			}
			path := write(t, texts, rows, options...)
			runtime.GC()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got, err := collect(path, rows-1, Options{})
			runtime.ReadMemStats(&after)
			require.NoError(t, err)
			require.Equal(t, map[int64]string{rows - 1: texts[rows-1].Text}, got)
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(24<<20))
		})
	}
}

// snappyBlock writes the parts of a Snappy block by hand: literals, and copies
// as [2]int{how far back, how many bytes}.
func snappyBlock(length int, parts ...any) []byte {
	b := binary.AppendUvarint(nil, uint64(length))
	for _, p := range parts {
		switch p := p.(type) {
		case string:
			b = append(b, 62<<2)
			b = append(b, byte(len(p)-1), byte((len(p)-1)>>8), byte((len(p)-1)>>16))
			b = append(b, p...)
		case [2]int:
			b = append(b, byte(p[1]-1)<<2|3)
			b = binary.LittleEndian.AppendUint32(b, uint32(p[0]))
		}
	}
	return b
}

func lz4Block(literals string, back, length int) []byte {
	b := []byte{0xf0 | byte(length-4)}
	n := len(literals) - 15
	for ; n >= 255; n -= 255 {
		b = append(b, 255)
	}
	b = append(append(b, byte(n)), literals...)
	return binary.LittleEndian.AppendUint16(b, uint16(back))
}

// A large page may copy from far behind, and a damaged one from nowhere.
func TestLargeBlocks(t *testing.T) {
	defer func(n int64) { smallPage = n }(smallPage)
	smallPage = 100
	value := func(s string) string {
		return string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
	}
	long := strings.Repeat("0123456789", 60_000)
	whole := value(long + long[100:140])
	for name, c := range map[string]struct {
		codec format.CompressionCodec
		body  []byte
		plain int
		want  string // an error, or "" for success
	}{
		"far":            {format.Snappy, snappyBlock(len(whole), whole[:len(whole)-40], [2]int{len(long) - 100, 40}), len(whole), ""},
		"whole":          {format.Snappy, snappy.Encode(nil, []byte(whole)), len(whole), ""},
		"before it":      {format.Snappy, snappyBlock(len(whole), whole[:300], [2]int{304, 40}), len(whole), "a copy from 304 bytes before"},
		"from farther":   {format.Snappy, snappyBlock(len(whole), whole[:300], [2]int{1 << 30, 40}), len(whole), "a copy from 1073741824 bytes before"},
		"from nowhere":   {format.Snappy, snappyBlock(len(whole), whole[:300], [2]int{0, 40}), len(whole), "a copy from 0 bytes before"},
		"announced":      {format.Snappy, snappyBlock(len(whole)+1, whole), len(whole), "announced"},
		"cut":            {format.Snappy, snappyBlock(len(whole), whole)[:len(whole)/2], len(whole), "unexpected EOF"},
		"early":          {format.Snappy, snappyBlock(len(whole), whole[:1000]), len(whole), "unexpected EOF"},
		"lz4 before it":  {format.Lz4Raw, lz4Block(whole[:300], 301, 10), len(whole), "a copy from 301 bytes before"},
		"lz4 nowhere":    {format.Lz4Raw, lz4Block(whole[:300], 0, 10), len(whole), "a copy from 0 bytes before"},
		"lz4 early":      {format.Lz4Raw, lz4Block(whole[:300], 1, 10), len(whole), "unexpected EOF"},
		"lz4 cut":        {format.Lz4Raw, lz4Block(whole[:300], 1, 10)[:200], len(whole), "unexpected EOF"},
		"lz4 cut length": {format.Lz4Raw, []byte{0xf0, 255, 255}, len(whole), "unexpected EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "large.parquet")
			require.NoError(t, os.WriteFile(path, compose(t, c.codec, 1, dataPage(t, format.Plain, 1, int32(c.plain), c.body)), 0o644))
			got, err := collect(path, 0, Options{})
			if c.want != "" {
				require.ErrorContains(t, err, c.want)
				return
			}
			require.NoError(t, err)
			require.Equal(t, map[int64]string{0: whole[4:]}, got)
		})
	}
}
