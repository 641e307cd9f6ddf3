package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// Decode gives the text of ids, byte for byte what was encoded (special tokens
// included, half runes too if ids end in one). Ids that do not exist give
// nothing.
func (t *Tokenizer) Decode(ids []uint32) string {
	n := 0
	for _, id := range ids {
		if int64(id) < int64(len(t.raw)) {
			n += len(t.raw[id])
		}
	}
	var b strings.Builder
	b.Grow(n)
	for _, id := range ids {
		if int64(id) < int64(len(t.raw)) {
			b.WriteString(t.raw[id])
		}
	}
	return b.String()
}

// TextBytes is how many bytes of text the token of an id stands for: 0 for a
// special token. It is not known, and ok is false, for the token of unknown text
// and for ids that do not exist.
func (t *Tokenizer) TextBytes(id uint32) (n int, ok bool) {
	switch {
	case int64(id) >= int64(len(t.raw)) || id == t.unk:
		return 0, false
	case t.IsSpecial(id):
		return 0, true
	}
	return len(t.raw[id]), true
}

// Decoder turns ids into text one by one, for printing while a model writes.
// What it gives is always UTF-8: a rune waits until it is whole, and bytes that
// can be no rune become U+FFFD.
type Decoder struct {
	t       *Tokenizer
	pending []byte
}

// NewDecoder gives a Decoder at the beginning of a text.
func (t *Tokenizer) NewDecoder() *Decoder { return &Decoder{t: t} }

// Next gives the text that id completes; it may be "".
func (d *Decoder) Next(id uint32) string {
	if int64(id) >= int64(len(d.t.raw)) {
		return ""
	}
	raw := d.t.raw[id]
	if len(d.pending) == 0 && utf8.ValidString(raw) {
		return raw
	}
	d.pending = append(d.pending, raw...)
	return d.take(false)
}

// Flush ends the text: it gives U+FFFD for a rune that was never completed.
func (d *Decoder) Flush() string { return d.take(true) }

func (d *Decoder) take(all bool) string {
	var b strings.Builder
	p := d.pending
	for len(p) > 0 {
		r, width := utf8.DecodeRune(p)
		if r != utf8.RuneError || width > 1 {
			b.Write(p[:width])
			p = p[width:]
			continue
		}
		n := runePrefix(p)
		if n == len(p) && !all {
			break
		}
		b.WriteRune(utf8.RuneError)
		p = p[max(n, 1):]
	}
	d.pending = append(d.pending[:0], p...)
	return b.String()
}

// runePrefix gives how many bytes of p, which begins with no whole rune, could
// be the beginning of one (0 if the first byte cannot). Replacing that many at
// a time is what Unicode recommends and Hugging Face does.
func runePrefix(p []byte) int {
	n := 0
	for n < min(len(p), utf8.UTFMax-1) && !utf8.FullRune(p[:n+1]) {
		n++
	}
	return n
}
