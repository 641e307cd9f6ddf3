package tokenizer

import (
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

func TestClassesAreThoseOfHuggingFace(t *testing.T) {
	o := newOracle(t)
	for _, test := range []struct {
		name    string
		class   class
		command string
		regex   string
	}{
		{"letter", letter, "members", `\p{L}`},
		{"number", number, "members", `\p{N}`},
		{"space", space, "members", `\s`},
		{"numeric", numeric, "digits", ""},
		{"word", word, "words", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var ranges [][2]rune
			o.ask(&ranges, test.command, map[string]any{"regex": test.regex})
			require.NotEmpty(t, ranges)
			want := make([]bool, unicode.MaxRune+1)
			for _, r := range ranges {
				for c := r[0]; c <= r[1]; c++ {
					want[c] = true
				}
			}
			for c := rune(0); c <= unicode.MaxRune; c++ {
				if c == 0xD800 {
					c = 0xE000
				}
				if got := classOf(c)&test.class != 0; got != want[c] {
					t.Errorf("%U: got %v, want %v", c, got, want[c])
				}
			}
		})
	}
}
