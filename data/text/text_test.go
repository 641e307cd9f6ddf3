//go:build !js

package text

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"bitnet/data/ctxio"
)

func put(t testing.TB, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	require.NoError(t, os.WriteFile(path, b, 0o644))
	return path
}

func zipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	_, err := w.Write(b)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return buf.Bytes()
}

func zstandard(t testing.TB, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	require.NoError(t, err)
	return w.EncodeAll(b, nil)
}

func TestLines(t *testing.T) {
	texts := words(500)
	var buf bytes.Buffer
	buf.WriteString("\xef\xbb\xbf")
	for i, s := range texts {
		line, err := json.Marshal(map[string]any{"id": i, "text": s, "meta": map[string]any{"text": []any{"{\"", 1, nil}, "b": `"text":"no"`}})
		require.NoError(t, err)
		buf.Write(line)
		buf.WriteString("\r\n")
		if i%7 == 0 {
			buf.WriteString("  \n") // blank lines do not count
		}
	}
	b := bytes.TrimRight(buf.Bytes(), "\r\n ") // and the last may lack its end
	gz := zipped(t, b)
	for name, content := range map[string][]byte{
		"a.jsonl": b, "a.ndjson": b, "a.json": b, "a.jsonl.gz": gz, "a.jsonl.zst": zstandard(t, b),
	} {
		path := put(t, name, content)
		for _, skip := range []int64{0, 1, 250, 499, 500, 9999} {
			got, err := collect(path, skip, Options{})
			require.NoError(t, err)
			require.Equal(t, expect(texts, skip), got, "%s %d", name, skip)
		}
	}
	// gzip files may be several, one after the other.
	twice := put(t, "b.jsonl.gz", append(append([]byte{}, gz...), zipped(t, []byte("\n{\"text\":\"end\"}"))...))
	got, err := collect(twice, 500, Options{})
	require.NoError(t, err)
	require.Equal(t, map[int64]string{500: "end"}, got)
}

func TestField(t *testing.T) {
	for in, want := range map[string]string{
		`{"text":"a"}`: "a",
		` { "x" : [1,{"text":"no"}] , "text" : "a" } `:                 "a",
		`{"text":"a","text":"b"}`:                                      "b",
		`{"text":null}`:                                                "",
		`{"\u0074ext":"esc\"aped\\"}`:                                  `esc"aped\`,
		`{"Text":"no","text":"yes"}`:                                   "yes",
		`{"a":"}{\"","b":-1.5e3,"c":true,"text":"\u00fc\ud83d\ude00"}`: "ü😀",
		`{"text":"\ud800"}`:                                            "\uFFFD",
		`{"":1,"text":"x"}`:                                            "x",
	} {
		got, err := field([]byte(in), "text")
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	for in, want := range map[string]string{
		`{"a":{"b":"c"}}`:             "c",
		`{"a.b":"top","a":{"b":"c"}}`: "top",
		`{"a":{"b":"c","b":"d"}}`:     "d",
		`{"a":null}`:                  "",
		`{"a":{"b":null}}`:            "",
		`{"a": { "b" : "c" } }`:       "c",
	} {
		got, err := field([]byte(in), "a.b")
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	for _, in := range []string{`{"a":"b"}`, `{"a":["b"]}`, `{"b":"c"}`, `{"a":{"c":{"b":"x"}}}`} {
		_, err := field([]byte(in), "a.b")
		require.ErrorContains(t, err, `there is no field "a.b"`, in)
	}
	got, err := field([]byte(`{"a.b":{"c.d":{"e":"deep"}}}`), "a.b.c.d.e")
	require.NoError(t, err)
	require.Equal(t, "deep", got)
	for in, want := range map[string]string{
		``:                               "not JSON",
		`{`:                              "not JSON",
		`[1]`:                            "not a JSON object",
		`"text"`:                         "not a JSON object",
		`{}`:                             `no field "text"`,
		`{"texts":"a"}`:                  `no field "text"`,
		`{"text":5}`:                     "not a string",
		`{"text":{"a":"b"}}`:             "not a string",
		`{"text":"a"}}`:                  "not JSON",
		`{"text":"a" "b":1}`:             "not JSON",
		strings.Repeat(`{"a":`, 200_000): "not JSON",
		strings.Repeat(`[`, 5_000_000):   "not JSON",
	} {
		_, err := field([]byte(in), "text")
		require.ErrorContains(t, err, want)
	}
}

func TestLinesDamaged(t *testing.T) {
	good := []byte(strings.Repeat("{\"text\":\"hello there\"}\n", 10_000))
	for name, c := range map[string]struct {
		file    string
		content []byte
		o       Options
		want    string
	}{
		"bad line":   {"a.jsonl", []byte("{\"text\":\"a\"}\n\n{\"text\":"), Options{}, "line 3: not JSON"},
		"cut gzip":   {"a.jsonl.gz", zipped(t, good)[:500], Options{}, "unexpected EOF: the file is cut short or damaged"},
		"cut zstd":   {"a.jsonl.zst", zstandard(t, good)[:200], Options{}, "line "},
		"not gzip":   {"a.jsonl.gz", good, Options{}, "gzip"},
		"long line":  {"a.jsonl", append([]byte("{\"text\":\"a\"}\n{\"x\":\""), make([]byte, 3<<20)...), Options{MaxDocument: 1000}, "line 2: longer than"},
		"long text":  {"a.jsonl", []byte("{\"text\":\"" + strings.Repeat("a", 2000) + "\"}"), Options{MaxDocument: 1000}, "line 1: a document of 2000 bytes"},
		"endless gz": {"a.jsonl.gz", zipped(t, make([]byte, 64<<20)), Options{MaxDocument: 1 << 20}, "line 1: longer than"},
	} {
		t.Run(name, func(t *testing.T) {
			path := put(t, c.file, c.content)
			_, err := collect(path, 0, c.o)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, path)
		})
	}
}

func TestSplitText(t *testing.T) {
	texts := words(400)
	for i := range texts {
		texts[i] = strings.ReplaceAll(texts[i], "\n", "")
	}
	const mark = "<|endoftext|>"
	b := []byte(strings.Join(texts, "\n"+mark+"\n"))
	for name, content := range map[string][]byte{"a.txt": b, "a.txt.gz": zipped(t, b), "a.md.zst": zstandard(t, b)} {
		path := put(t, name, content)
		for _, skip := range []int64{0, 200, 400} {
			got, err := collect(path, skip, Options{Split: mark})
			require.NoError(t, err)
			require.Equal(t, expect(texts, skip), got)
		}
	}
	path := put(t, "long.txt", bytes.Repeat([]byte("a"), 1<<20))
	_, err := collect(path, 0, Options{Split: mark, MaxDocument: 1 << 17})
	require.ErrorContains(t, err, "byte 0: a document")
	// A mark that falls on the edge of what is read at once is found.
	for shift := range 30 {
		first := strings.Repeat("x", pieceSize-shift)
		got, err := collect(put(t, "edge.txt", []byte(first+mark+"y")), 0, Options{Split: mark})
		require.NoError(t, err)
		require.Equal(t, map[int64]string{0: first, 1: "y"}, got)
	}
}

func TestWholeText(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var paragraphs, lines, runes, raw bytes.Buffer
	for paragraphs.Len() < 300_000 {
		paragraphs.WriteString(strings.Repeat("word ", r.IntN(200)) + "\n\n")
		lines.WriteString(strings.Repeat("word ", r.IntN(200)) + "\n")
		runes.WriteString(strings.Repeat("ü€😀", 100))
		raw.WriteByte(byte(0x80 + r.IntN(64)))
	}
	for name, b := range map[string][]byte{
		"short": []byte("hello"), "edge": bytes.Repeat([]byte("a"), pieceSize), "edge+1": bytes.Repeat([]byte("a"), pieceSize+1),
		"paragraphs": paragraphs.Bytes(), "lines": lines.Bytes(), "runes": runes.Bytes(), "no runes": raw.Bytes(),
	} {
		path := put(t, "a.txt", b)
		var all strings.Builder
		var n int64
		for d, err := range Documents(context.Background(), path, 0, Options{}) {
			require.NoError(t, err)
			require.Equal(t, n, d.Index)
			require.LessOrEqual(t, len(d.Text), pieceSize)
			if name != "no runes" {
				require.True(t, utf8.ValidString(d.Text))
			}
			if name == "paragraphs" && all.Len()+len(d.Text) < len(b) {
				require.True(t, strings.HasSuffix(d.Text, "\n\n"))
			}
			all.WriteString(d.Text)
			n++
		}
		require.Equal(t, string(b), all.String(), name)
		require.LessOrEqual(t, n, int64(1+len(b)*5/4/pieceSize), name) // pieces are not much shorter
		rest, err := collect(path, 1, Options{})
		require.NoError(t, err)
		require.Len(t, rest, int(n)-1)
	}
	got, err := collect(put(t, "blank.txt", []byte(" \n\n")), 0, Options{})
	require.NoError(t, err)
	require.Empty(t, got)
	path := put(t, "cut.txt.gz", zipped(t, lines.Bytes())[:2000])
	_, err = collect(path, 0, Options{})
	require.ErrorContains(t, err, "unexpected EOF")
	require.ErrorContains(t, err, path)
}

func TestFind(t *testing.T) {
	root := t.TempDir()
	for name, content := range map[string]string{
		"b.txt": "b", "a/x.go": "package x", "a/y.bin": "\x00\x01", "a/z.parquet": "PAR1", ".hidden/x.txt": "h", "a/.secret": "s",
		"a/empty.txt": "", "c.jsonl.gz": "gz", "d.json": "[]", "d.json.zst": "[]", "e.latin": "caf\xe9 ol\xe9", "f": strings.Repeat("ü", 4096),
	} {
		path := filepath.Join(root, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	found, err := Find(context.Background(), root)
	require.NoError(t, err)
	var names []string
	for _, f := range found {
		rel, err := filepath.Rel(root, f.Path)
		require.NoError(t, err)
		names = append(names, filepath.ToSlash(rel))
	}
	require.Equal(t, []string{"a/x.go", "a/z.parquet", "b.txt", "c.jsonl.gz", "f"}, names)

	found, err = Find(context.Background(), filepath.Join(root, "d.json"), filepath.Join(root, "b.txt"))
	require.NoError(t, err)
	require.Equal(t, []Found{{filepath.Join(root, "d.json"), 2}, {filepath.Join(root, "b.txt"), 1}}, found)

	_, err = Find(context.Background(), filepath.Join(root, "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Find(context.Background(), filepath.Join(root, ".hidden", ".."), filepath.Join(root, "a", "y.bin"))
	require.ErrorContains(t, err, "y.bin is not text")
	empty := filepath.Join(root, "none here")
	require.NoError(t, os.Mkdir(empty, 0o755))
	_, err = Find(context.Background(), empty)
	require.ErrorContains(t, err, "nothing to read below")
}

// Reading ends where its context is cancelled, also where no document comes
// that the caller could stop at.
func TestReadingIsCancelled(t *testing.T) {
	nothing := strings.Repeat("{\"text\":null}\n", 10_000)
	var nulls []optionalDictRow
	first := "first"
	nulls = append(nulls, optionalDictRow{&first})
	nulls = append(nulls, make([]optionalDictRow, 10_000)...)
	large := write(t, []plainRow{{"first"}, {strings.Repeat("x", 1<<20)}, {"last"}}, 3)
	for name, path := range map[string]string{
		"lines":       put(t, "a.jsonl", []byte("{\"text\":\"first\"}\n"+nothing)),
		"gzip":        put(t, "a.jsonl.gz", zipped(t, []byte("{\"text\":\"first\"}\n"+nothing))),
		"long line":   put(t, "long.jsonl", []byte("{\"text\":\"first\"}\n{\"x\":\""+strings.Repeat("x", 1<<20)+"\"}")),
		"blank":       put(t, "a.txt", []byte("first--"+strings.Repeat(" --", 10_000))),
		"nulls":       write(t, nulls, len(nulls)),
		"long string": large,
	} {
		t.Run(name, func(t *testing.T) {
			if path == large {
				defer func(n int64) { smallPage = n }(smallPage)
				smallPage = 100
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			n := 0
			var last error
			for d, err := range Documents(ctx, path, 0, Options{Split: "--"}) {
				if err != nil {
					last = err
					continue
				}
				require.Equal(t, "first", d.Text)
				n++
				cancel()
			}
			require.Equal(t, 1, n)
			require.Equal(t, context.Canceled, last)
			_, err := Find(ctx, filepath.Dir(path))
			require.ErrorIs(t, err, context.Canceled)
		})
	}
	// Decompressing what nobody takes ends too.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := io.Copy(io.Discard, ctxio.Reader(ctx, strings.NewReader("x")))
	require.ErrorIs(t, err, context.Canceled)
}

// What would wait for ever, or never end, is not opened; what a user allows is
// bounded.
func TestRefused(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a.parquet", "a.jsonl", "a.txt", "a.txt.gz"} {
		path := filepath.Join(dir, name)
		if err := exec.Command("mkfifo", path).Run(); err != nil {
			t.Skip("this system makes no named pipes:", err)
		}
		_, err := collect(path, 0, Options{})
		require.ErrorContains(t, err, path+": this is a named pipe, not a file")
		_, err = Find(t.Context(), path)
		require.ErrorContains(t, err, "neither a file nor a folder")
	}
	_, err := Find(t.Context(), dir)
	require.ErrorContains(t, err, "nothing to read below")
	path := put(t, "a.jsonl", []byte(`{"text":"a"}`))
	for _, n := range []int{-1, MostDocument + 1, math.MaxInt} {
		_, err := collect(path, 0, Options{MaxDocument: n})
		require.ErrorContains(t, err, "--max-document")
		require.ErrorContains(t, err, fmt.Sprint(MostDocument))
	}
	_, err = collect(path, 0, Options{MaxDocument: MostDocument})
	require.NoError(t, err)
	require.Equal(t, 6<<24+1<<20, lineLimit(defaultMaxDocument))
	require.LessOrEqual(t, lineLimit(MostDocument), 2*MostDocument+1<<20)
	// A file may have any name.
	_, err = collect(put(t, "a\x1b[31m.jsonl", []byte("{")), 0, Options{})
	require.ErrorContains(t, err, `a\x1b[31m.jsonl: line 1`)
}

func BenchmarkLines(b *testing.B) {
	var buf bytes.Buffer
	size := 0
	for i := range 20_000 {
		s := strings.Repeat(fmt.Sprintf("The %d. small cat sat on the mat; it was \"happy\".\n", i), 1+i%40)
		line, err := json.Marshal(map[string]any{"id": i, "text": s, "url": "http://example.invalid"})
		require.NoError(b, err)
		buf.Write(append(line, '\n'))
		size += len(s)
	}
	path := put(b, "a.jsonl", buf.Bytes())
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for d, err := range Documents(context.Background(), path, 0, Options{}) {
			require.NoError(b, err)
			n += len(d.Text)
		}
		require.Equal(b, size, n)
	}
}
