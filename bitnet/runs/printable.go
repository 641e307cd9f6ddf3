package runs

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Printable is s with everything that could steer a terminal or hide text
// written as an escape: control characters, line breaks, invisible and
// direction-changing characters, and bytes that are not UTF-8.
func Printable(s string) string {
	var b strings.Builder
	for i, r := range s {
		bad := false
		if r == utf8.RuneError {
			_, size := utf8.DecodeRuneInString(s[i:])
			bad = size == 1
		}
		switch {
		case bad:
			b.WriteString(`\x`)
			b.WriteString(strconv.FormatInt(0x100+int64(s[i]), 16)[1:])
		case r == ' ' || unicode.IsGraphic(r) && !unicode.IsSpace(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return b.String()
}
