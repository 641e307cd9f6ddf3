package tokenizer

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func TestDecoder(t *testing.T) {
	tok := trained(t, string(gpt2Form().preTokenizer), 300, "<s>")
	id := func(b byte) uint32 { return tok.byteID[b] }
	for _, test := range []struct {
		name  string
		bytes string
		want  []string // after each byte, then Flush
	}{
		{"ascii", "ab", []string{"a", "b", ""}},
		{"two bytes", "é", []string{"", "é", ""}},
		{"emoji", "😀", []string{"", "", "", "😀", ""}},
		{"cut", "😀"[:3], []string{"", "", "", "\ufffd"}},
		{"cut by ascii", "\xf0\x9fa", []string{"", "", "\ufffda", ""}},
		{"stray", "\x80a\xff", []string{"\ufffd", "a", "\ufffd", ""}},
		{"overlong", "\xc0\xaf", []string{"\ufffd", "\ufffd", ""}},
		{"surrogate", "\xed\xa0\x80", []string{"", "\ufffd\ufffd", "\ufffd", ""}},
		{"start after start", "\xe2\x82\xe2\x82\xac", []string{"", "", "\ufffd", "", "€", ""}},
		{"replacement itself", "\xef\xbf\xbd", []string{"", "", "\ufffd", ""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			d := tok.NewDecoder()
			var got []string
			for i := range len(test.bytes) {
				got = append(got, d.Next(id(test.bytes[i])))
			}
			got = append(got, d.Flush())
			require.Equal(t, test.want, got)
		})
	}
	require.Equal(t, "", tok.NewDecoder().Next(999_999))
	require.Equal(t, "", tok.Decode([]uint32{999_999}))
}

// Streamed or not, Hugging Face or we: the same text.
func TestDecodesAsHuggingFace(t *testing.T) {
	o := newOracle(t)
	tok := trained(t, string(gpt2Form().preTokenizer), 1000, "<s>")
	file, err := tok.MarshalJSON()
	require.NoError(t, err)
	bytes := []string{"\xff", "a\xf0\x9f\x98b", "\xe2\x82", "\xed\xa0\x80", "\xc0\xaf\xf5\x80", "é\xc3", "\xf0\x9f<s>\x98\x80", "\xf4\x90\x80\x80", "\xe0\x80\x80"}
	var ids [][]uint32
	for _, s := range append(bytes, adversarial()[1:]...) {
		encoded, err := tok.Encode(s)
		require.NoError(t, err)
		ids = append(ids, encoded)
	}
	for i, want := range o.decode(o.load(file), ids) {
		var b strings.Builder
		d := tok.NewDecoder()
		for _, id := range ids[i] {
			part := d.Next(id)
			require.True(t, utf8.ValidString(part))
			b.WriteString(part)
		}
		b.WriteString(d.Flush())
		require.Equal(t, want, b.String())
	}
}

func FuzzRoundTrip(f *testing.F) {
	for _, text := range adversarial() {
		f.Add(text, text)
	}
	f.Add("\xff\xfe", "<s>\x80")
	var toks []*Tokenizer
	for _, p := range []string{string(gpt2Form().preTokenizer), llama3PreTokenizer, smolLMPreTokenizer} {
		toks = append(toks, trained(f, p, 1000, "<s>", "</s>"))
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, tok := range toks {
			for _, text := range []string{a, a + "<s>" + b} {
				ids, err := tok.Encode(text)
				require.NoError(t, err)
				require.Equal(t, text, tok.Decode(ids))
				ids, err = tok.EncodeOrdinary(text)
				require.NoError(t, err)
				require.Equal(t, text, tok.Decode(ids))

				var streamed strings.Builder
				d := tok.NewDecoder()
				for _, id := range ids {
					part := d.Next(id)
					require.True(t, utf8.ValidString(part))
					streamed.WriteString(part)
				}
				streamed.WriteString(d.Flush())
				if utf8.ValidString(text) {
					require.Equal(t, text, streamed.String())
				}
			}
		}
	})
}

// The bytes of the tokens of a text are the bytes of the text.
func TestTextBytes(t *testing.T) {
	for _, tok := range []*Tokenizer{trained(t, string(gpt2Form().preTokenizer), 300, "<s>"), trained(t, llama3PreTokenizer, 1000, "<s>", "</s>")} {
		for _, text := range adversarial() {
			ids, err := tok.EncodeOrdinary(text)
			require.NoError(t, err)
			sum := 0
			for _, id := range ids {
				n, ok := tok.TextBytes(id)
				require.True(t, ok)
				sum += n
			}
			require.Equal(t, len(text), sum, "%q", text)
		}
		special, ok := tok.ID("<s>")
		require.True(t, ok)
		n, ok := tok.TextBytes(special)
		require.True(t, ok)
		require.Zero(t, n)
		_, ok = tok.TextBytes(uint32(tok.Size()))
		require.False(t, ok)
		unknown := &Tokenizer{raw: tok.raw, kinds: tok.kinds, unk: special}
		_, ok = unknown.TextBytes(special)
		require.False(t, ok)
	}
}
