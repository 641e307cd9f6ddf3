//go:build !js

package text

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"
)

// rowsOfFile reads all rows as texts of JSON.
func rowsOfFile(path string, columns []string, o Options) (rows, places []string, err error) {
	for r, err := range Rows(context.Background(), path, columns, o) {
		if err != nil {
			return rows, places, err
		}
		rows, places = append(rows, strings.TrimSpace(string(r.JSON))), append(places, r.Place)
	}
	return rows, places, nil
}

func file(t *testing.T, name, content string) string {
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	return path
}

func TestRowsOfJSON(t *testing.T) {
	for _, c := range []struct {
		name, file, content string
		rows, places        []string
		err                 string
	}{
		{"lines", "a.jsonl", "{\"a\": 1}\n\n {\"b\": [2]} \r\n", []string{`{"a": 1}`, `{"b": [2]}`}, []string{"line 1", "line 3"}, ""},
		{"array", "a.json", " [\n{\"a\": 1},\n{\"b\": \"]\"}\n]\n", []string{`{"a": 1}`, `{"b": "]"}`}, []string{"element 1", "element 2"}, ""},
		{"empty array", "a.json", "[]", nil, nil, ""},
		{"empty", "a.jsonl", "", nil, nil, ""},
		{"not an object", "a.jsonl", "{}\n[1]x\n", []string{"{}"}, []string{"line 1"}, "line 2: not JSON"},
		{"a number", "a.jsonl", "7\n", nil, nil, "line 1: not a JSON object"},
		{"cut line", "a.jsonl", "{\"a\": 1}\n{\"a\": ", []string{`{"a": 1}`}, []string{"line 1"}, "line 2: not JSON"},
		{"cut array", "a.json", "[{\"a\": 1}, {\"b", []string{`{"a": 1}`}, []string{"element 1"}, "cut short"},
		{"unclosed array", "a.json", "[{\"a\": 1}", []string{`{"a": 1}`}, []string{"element 1"}, "cut short"},
		{"array of numbers", "a.json", "[1]", nil, nil, "element 1: not a JSON object"},
		{"text", "a.txt", "hello", nil, nil, "records are read from"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rows, places, err := rowsOfFile(file(t, c.file, c.content), nil, Options{})
			require.Equal(t, c.rows, rows)
			require.Equal(t, c.places, places)
			if c.err != "" {
				require.ErrorContains(t, err, c.err)
				require.ErrorContains(t, err, c.file)
				return
			}
			require.NoError(t, err)
		})
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	fmt.Fprintln(z, `{"a": 1}`)
	require.NoError(t, z.Close())
	rows, _, err := rowsOfFile(file(t, "a.jsonl.gz", packed.String()), nil, Options{})
	require.NoError(t, err)
	require.Equal(t, []string{`{"a": 1}`}, rows)
	_, _, err = rowsOfFile(file(t, "a.json", "[{\"a\": \""+strings.Repeat("x", 3<<20)+"\"}]"), nil, Options{MaxDocument: 1 << 10})
	require.ErrorContains(t, err, "longer than")
}

type turn struct {
	Role    string  `parquet:"role,dict" json:"role"`
	Content *string `parquet:"content,optional" json:"content"`
	Score   int64   `parquet:"score" json:"-"`
}

type talkRow struct {
	ID       int64  `parquet:"id" json:"-"`
	Messages []turn `parquet:"messages,list" json:"messages"`
	Source   string `parquet:"source" json:"source"`
	Other    string `parquet:"other" json:"-"`
}

type bareRow struct {
	Messages []turn `parquet:"messages" json:"messages"`
}

func TestRowsOfParquet(t *testing.T) {
	var talks []talkRow
	var bare []bareRow
	for i := range 700 {
		r := talkRow{ID: int64(i), Source: fmt.Sprint("s", i%3), Other: "x", Messages: []turn{}}
		for j := range i % 5 {
			content := strings.Repeat(fmt.Sprint("t", i, " "), 1+i%7*j)
			m := turn{Role: []string{"user", "assistant"}[j%2], Content: &content}
			if i%11 == 3 {
				m.Content = nil
			}
			r.Messages = append(r.Messages, m)
		}
		talks, bare = append(talks, r), append(bare, bareRow{r.Messages})
	}
	for _, version := range []int{1, 2} {
		for _, page := range []int{300, 1 << 20} {
			for _, codec := range []parquet.WriterOption{parquet.Compression(&parquet.Uncompressed), parquet.Compression(&parquet.Zstd)} {
				options := []parquet.WriterOption{codec, parquet.DataPageVersion(version), parquet.PageBufferSize(page)}
				name := fmt.Sprintf("version %d, pages of %d", version, page)
				path := write(t, talks, 256, options...)
				rows, places, err := rowsOfFile(path, []string{"source", "messages", "conversations"}, Options{})
				require.NoError(t, err, name)
				require.Len(t, rows, len(talks), name)
				require.Equal(t, "row 700", places[699])
				for i, r := range talks {
					want, err := json.Marshal(r)
					require.NoError(t, err)
					require.JSONEq(t, string(want), rows[i], "%s, row %d", name, i)
				}
				rows, _, err = rowsOfFile(write(t, bare, 256, options...), []string{"messages"}, Options{})
				require.NoError(t, err, name)
				for i, r := range bare {
					want, err := json.Marshal(r)
					require.NoError(t, err)
					require.JSONEq(t, string(want), rows[i], "%s, row %d", name, i)
				}
			}
		}
	}
	path := write(t, talks, 256)
	_, _, err := rowsOfFile(path, []string{"text"}, Options{})
	require.ErrorContains(t, err, "none of its columns (id, messages, source, other) is one of text")
	_, _, err = rowsOfFile(path, []string{"messages"}, Options{MaxDocument: 30})
	require.ErrorContains(t, err, "longer than 30")

	// Reading can end early, and what is damaged ends with an error, not a panic.
	for range Rows(context.Background(), path, []string{"messages"}, Options{}) {
		break
	}
	whole, err := os.ReadFile(path)
	require.NoError(t, err)
	for at := 4; at < len(whole); at += 37 {
		bad := bytes.Clone(whole)
		bad[at] ^= 0x5a
		rowsOfFile(file(t, "bad.parquet", string(bad)), []string{"messages"}, Options{MaxDocument: 1 << 16})
	}
	_, _, err = rowsOfFile(file(t, "bad.parquet", string(whole[:len(whole)/2])), []string{"messages"}, Options{})
	require.ErrorContains(t, err, "bad.parquet")
}

// choices is the form of a group of lists: the sequence of groups of Hugging Face's
// data sets.
type choices struct {
	Text  []string `parquet:"text,list" json:"text"`
	Label []string `parquet:"label,list" json:"label"`
}

type questionRow struct {
	ID      int32    `parquet:"id,optional" json:"id"`
	Label   int64    `parquet:"label,dict" json:"label"`
	Delta   int64    `parquet:"delta,delta" json:"delta"`
	Small   int32    `parquet:"small,delta" json:"small"`
	Endings []string `parquet:"endings,list" json:"endings"`
	Bare    []string `parquet:"bare" json:"bare"`
	Counts  []int64  `parquet:"counts,list" json:"counts"`
	Choices choices  `parquet:"choices" json:"choices"`
}

func TestRowsOfListsAndNumbers(t *testing.T) {
	columns := []string{"id", "label", "delta", "small", "endings", "bare", "counts", "choices"}
	var rows []questionRow
	for i := range 120 {
		r := questionRow{
			ID: int32(-i - 1), Label: int64(i%3) - 1, Delta: int64(i*i) - 1<<40, Small: int32(5 - i*7),
			Endings: []string{}, Bare: []string{}, Counts: []int64{}, Choices: choices{[]string{}, []string{}},
		}
		for j := range i % 4 {
			r.Endings = append(r.Endings, fmt.Sprint("ending ", i, j))
			r.Bare = append(r.Bare, fmt.Sprint(j))
			r.Counts = append(r.Counts, int64(-j))
			r.Choices.Text = append(r.Choices.Text, fmt.Sprint("text ", i%5))
			r.Choices.Label = append(r.Choices.Label, string(rune('A'+j)))
		}
		rows = append(rows, r)
	}
	for _, version := range []int{1, 2} {
		path := write(t, rows, 50, parquet.DataPageVersion(version), parquet.PageBufferSize(400))
		got, _, err := rowsOfFile(path, columns, Options{Integers: true})
		require.NoError(t, err)
		require.Len(t, got, len(rows))
		for i, r := range rows {
			want, err := json.Marshal(r)
			require.NoError(t, err)
			require.JSONEq(t, string(want), got[i], "row %d", i)
		}
		got, _, err = rowsOfFile(path, columns, Options{}) // who wants strings gets no numbers
		require.NoError(t, err)
		require.JSONEq(t, `{"endings": ["ending 1 0"], "bare": ["0"], "choices": {"text": ["text 1"], "label": ["A"]}}`, got[1])

		whole, err := os.ReadFile(path)
		require.NoError(t, err)
		for at := 4; at < len(whole); at += 211 {
			bad := bytes.Clone(whole)
			bad[at] ^= 0x5a
			rowsOfFile(file(t, "bad.parquet", string(bad)), columns, Options{Integers: true, MaxDocument: 1 << 16})
		}
	}
}
