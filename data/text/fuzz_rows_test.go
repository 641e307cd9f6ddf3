//go:build !js

package text

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/stretchr/testify/require"
)

// Rows of damaged parquet end with an error, and each one is a JSON object of
// bounded size.
func FuzzParquetRows(f *testing.F) {
	content := "hello"
	rows := []talkRow{
		{ID: 1, Messages: []turn{{"user", &content, 1}, {"assistant", nil, 2}}, Source: "a"},
		{ID: 2, Messages: []turn{}, Source: "b"}, {ID: 3, Messages: []turn{{"user", &content, 3}}},
	}
	for _, version := range []int{1, 2} {
		b, err := os.ReadFile(write(f, rows, 2, parquet.DataPageVersion(version)))
		require.NoError(f, err)
		f.Add(b)
		lists := []questionRow{{ID: 1, Label: 2, Endings: []string{"a", ""}, Counts: []int64{-1}, Choices: choices{[]string{"b"}, []string{"B"}}}, {Delta: 7}}
		b, err = os.ReadFile(write(f, lists, 1, parquet.DataPageVersion(version)))
		require.NoError(f, err)
		f.Add(b)
	}
	columns := []string{"messages", "source", "id", "label", "delta", "endings", "counts", "choices"}
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		o := Options{MaxDocument: 1 << 14, Integers: true}.withDefaults()
		err := parquetRows(context.Background(), bytes.NewReader(b), int64(len(b)), columns, o, func(r Row, err error) bool {
			require.True(t, json.Valid(r.JSON))
			require.Less(t, len(r.JSON), 20<<14)
			n++
			return n < 300
		})
		if err == nil {
			require.GreaterOrEqual(t, len(b), 12)
		}
	})
}

// Records of JSON, whatever the bytes are.
func FuzzJSONRows(f *testing.F) {
	for _, s := range []string{"", "{}", "{\"a\": 1}\n\n{}", "[{}, {\"a\": [\"]\"]}]", "[", "[{},", "[{}] x", "\xef\xbb\xbf[{}]", "{} {}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := newStream(context.Background(), io.NopCloser(bytes.NewReader(b)), "f.jsonl")
		if err != nil {
			return
		}
		defer s.Close()
		o := Options{MaxDocument: 1 << 14}.withDefaults()
		each := func(r Row, err error) bool {
			require.NoError(t, err)
			require.NoError(t, isObject(r.JSON))
			return true
		}
		if isArray(s.Reader) {
			_ = arrayRows(context.Background(), s, o, each)
		} else {
			_ = lineRows(context.Background(), s, o, each)
		}
	})
}
