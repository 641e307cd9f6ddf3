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

// Shell is s as one word of a POSIX shell, for commands that are shown to be
// typed.
func Shell(s string) string {
	plain := func(r rune) bool {
		return r == '/' || r == '.' || r == '_' || r == '-' || r == '+' || r == ':' || r == '=' || r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r))
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(Printable(s), "'", `'\''`) + "'"
}
