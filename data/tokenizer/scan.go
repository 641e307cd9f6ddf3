package tokenizer

import "unicode/utf8"

// A scanner gives the length in bytes of the first piece of s, at least one
// character; s is not empty. Scanners do by hand what the pre-tokenizers of
// tokenizer.json do with regular expressions, because a backtracking engine
// would take most of the time of encoding.
type scanner func(s string) int

// splitter cuts text into the words that merges never cross: each scanner cuts
// the pieces of the one before it.
type splitter struct {
	scanners []scanner
	// prefixSpace puts a space before every piece that reaches the byte level
	// and does not begin with one (add_prefix_space).
	prefixSpace bool
}

// scanGPT2 follows the pattern of GPT-2, which ByteLevel uses by itself:
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
func scanGPT2(s string) int {
	if s[0] == '\'' {
		if n := contraction(s); n > 0 {
			return n
		}
	}
	c, width := classAt(s, 0)
	end := width
	if s[0] == ' ' && len(s) > 1 {
		if after, width := classAt(s, 1); after&space == 0 {
			c, end = after, 1+width
		}
	}
	switch {
	case c&letter != 0:
		return skip(s, end, letter)
	case c&number != 0:
		return skip(s, end, number)
	case c&space != 0:
		return whitespace(s, end)
	}
	return skipOther(s, end)
}

// scanLlama3 follows the pattern of Llama 3, which took it from cl100k:
//
//	(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|
//	 ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+
func scanLlama3(s string) int { return scanCL100K(s, 3) }

// scanQwen2 is scanLlama3 with every digit by itself.
func scanQwen2(s string) int { return scanCL100K(s, 1) }

func scanCL100K(s string, digits int) int {
	if s[0] == '\'' {
		if n := contractionFold(s); n > 0 {
			return n
		}
	}
	c, end := classAt(s, 0)
	if c&letter != 0 {
		return skip(s, end, letter)
	}
	if c&number != 0 {
		for n := 1; n < digits && end < len(s); n++ {
			c, width := classAt(s, end)
			if c&number == 0 {
				break
			}
			end += width
		}
		return end
	}
	if end < len(s) && s[0] != '\r' && s[0] != '\n' {
		after, width := classAt(s, end)
		if after&letter != 0 {
			return skip(s, end+width, letter)
		}
		if s[0] == ' ' && after&(space|number) == 0 {
			c, end = after, end+width
		}
	}
	if c&space != 0 {
		return whitespaceToNewline(s, end)
	}
	end = skipOther(s, end)
	for end < len(s) && (s[end] == '\r' || s[end] == '\n') {
		end++
	}
	return end
}

// scanDigits isolates every digit (the Digits pre-tokenizer with
// individual_digits).
func scanDigits(s string) int {
	c, end := classAt(s, 0)
	if c&numeric != 0 {
		return end
	}
	return skipUntil(s, end, numeric)
}

// scanDigitRuns isolates every run of digits.
func scanDigitRuns(s string) int {
	c, end := classAt(s, 0)
	if c&numeric != 0 {
		return skip(s, end, numeric)
	}
	return skipUntil(s, end, numeric)
}

// skip gives the end of the run of characters of class c that continues at i.
func skip(s string, i int, c class) int {
	for i < len(s) {
		if b := s[i]; b < utf8.RuneSelf {
			if asciiClass[b]&c == 0 {
				return i
			}
			i++
			continue
		}
		r, width := utf8.DecodeRuneInString(s[i:])
		if classOf(r)&c == 0 {
			return i
		}
		i += width
	}
	return i
}

func skipUntil(s string, i int, c class) int {
	for i < len(s) {
		got, width := classAt(s, i)
		if got&c != 0 {
			return i
		}
		i += width
	}
	return i
}

// skipOther skips what is neither space nor letter nor number.
func skipOther(s string, i int) int { return skipUntil(s, i, space|letter|number) }

// whitespace is \s+(?!\S)|\s+ after a first space that ends at i: a run that
// other text follows leaves its last character to that text.
func whitespace(s string, i int) int {
	last := 0 // where the last space begins
	for i < len(s) {
		c, width := classAt(s, i)
		if c&space == 0 {
			if last > 0 {
				return last
			}
			return i
		}
		last = i
		i += width
	}
	return i
}

// whitespaceToNewline is \s*[\r\n]+|\s+(?!\S)|\s+ after a first space that
// ends at i.
func whitespaceToNewline(s string, i int) int {
	newline, last := 0, 0
	if s[0] == '\r' || s[0] == '\n' {
		newline = 1
	}
	for i < len(s) {
		c, width := classAt(s, i)
		if c&space == 0 {
			break
		}
		if s[i] == '\r' || s[i] == '\n' {
			newline = i + 1
		}
		last = i
		i += width
	}
	switch {
	case newline > 0:
		return newline
	case i < len(s) && last > 0:
		return last
	}
	return i
}

// contraction gives the length of 's 't 're 've 'm 'll 'd at the start of s.
func contraction(s string) int {
	if len(s) < 2 {
		return 0
	}
	switch s[1] {
	case 's', 't', 'm', 'd':
		return 2
	}
	if len(s) > 2 {
		switch s[1:3] {
		case "re", "ve", "ll":
			return 3
		}
	}
	return 0
}

// contractionFold is contraction for either case. Case folding makes ſ (U+017F)
// an s, which Oniguruma and so every other reader of the pattern follows.
func contractionFold(s string) int {
	if len(s) < 2 {
		return 0
	}
	switch s[1] | 0x20 {
	case 's', 't', 'm', 'd':
		return 2
	}
	if len(s) > 2 {
		a, b := s[1]|0x20, s[2]|0x20
		if a == 'r' && b == 'e' || a == 'v' && b == 'e' || a == 'l' && b == 'l' {
			return 3
		}
		if s[1:3] == "ſ" {
			return 3
		}
	}
	return 0
}

// scanWhole leaves the piece whole.
func scanWhole(s string) int { return len(s) }
