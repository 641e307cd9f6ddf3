// Package printable makes text that a stranger chose safe to show: file names
// of a hub, names inside files, messages of servers.
package printable

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// String is s with everything that could steer a terminal or hide text written
// as an escape: control characters, line breaks, invisible and
// direction-changing characters, and bytes that are not UTF-8.
func String(s string) string {
	if !strings.ContainsFunc(s, unsafe) {
		return s
	}
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
		case r == utf8.RuneError || !unsafe(r):
			b.WriteRune(r)
		default:
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
		}
	}
	return b.String()
}

// unsafe is also true of the replacement character, which a byte that is not
// UTF-8 looks like.
func unsafe(r rune) bool {
	return r == utf8.RuneError || r != ' ' && (!unicode.IsGraphic(r) || unicode.IsSpace(r))
}

// Short is String of at most n bytes of s, with "..." where more follows.
func Short(s string, n int) string {
	if len(s) <= n {
		return String(s)
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return String(s[:n]) + "..."
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
	return "'" + strings.ReplaceAll(String(s), "'", `'\''`) + "'"
}

// Text is a text of several lines in which nothing can steer a terminal: control
// characters other than line breaks and tabs become U+FFFD.
func Text(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}
