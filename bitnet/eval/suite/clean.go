package suite

import (
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

var brackets = regexp.MustCompile(`\[.*?\]`)

// clean removes from a text of HellaSwag the marks of WikiHow, as lm-eval does: in
// this order, each step once.
func clean(text string) string {
	text = strings.TrimFunc(text, isSpace)
	text = strings.ReplaceAll(text, " [title]", ". ")
	text = brackets.ReplaceAllString(text, "")
	return strings.ReplaceAll(text, "  ", " ")
}

// isSpace is Python's str.isspace of one character, which has four separators more
// than Unicode's white space.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }

// capitalize is Python's: the first character in title case, all others in lower
// case.
func capitalize(text string) string {
	first, size := "", 0
	for i, r := range text {
		if i > 0 {
			break
		}
		size = len(string(r))
		first = cases.Title(language.Und, cases.NoLower).String(text[:size])
	}
	// The whole is put in lower case, and not its rest: how a final sigma is written
	// depends on the letters before it.
	lower := cases.Lower(language.Und).String(text)
	return first + strings.TrimPrefix(lower, cases.Lower(language.Und).String(text[:size]))
}
