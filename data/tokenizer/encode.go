package tokenizer

import (
	"fmt"
	"unicode/utf8"
)

// Encode gives the ids of text. Special tokens inside text become their ids,
// as Hugging Face has it; nothing is added before or after. Text that is not
// UTF-8 is encoded byte by byte like any other. It fails only where the
// vocabulary lacks a byte of text and names no token for the unknown.
func (t *Tokenizer) Encode(text string) ([]uint32, error) {
	return t.Append(nil, text)
}

// EncodeOrdinary is Encode for text from strangers: special tokens inside it
// are plain text. Added tokens that are not special keep their ids.
func (t *Tokenizer) EncodeOrdinary(text string) ([]uint32, error) {
	return t.AppendOrdinary(nil, text)
}

// Append is Encode onto dst. It allocates only what dst needs to grow. On an
// error dst is returned as it came.
func (t *Tokenizer) Append(dst []uint32, text string) ([]uint32, error) {
	return t.append(dst, text, false)
}

// AppendOrdinary is EncodeOrdinary onto dst.
func (t *Tokenizer) AppendOrdinary(dst []uint32, text string) ([]uint32, error) {
	return t.append(dst, text, true)
}

func (t *Tokenizer) append(dst []uint32, text string, ordinary bool) ([]uint32, error) {
	if text == "" {
		return dst, nil
	}
	e := t.scratch.Get().(*encoder)
	defer t.scratch.Put(e)
	return e.append(dst, text, ordinary)
}

// encoder is what one goroutine needs to encode: a cache of words that it has
// met and room to merge in.
type encoder struct {
	t        *Tokenizer
	out      []uint32
	ordinary bool
	base     int // where the text between two added tokens begins
	merger   merger
	cache    wordCache

	text  func(string, int) error // bound once: a closure made per call would allocate
	later func(string, int) error
	token func(uint32)
}

func newEncoder(t *Tokenizer) *encoder {
	e := &encoder{t: t, cache: newWordCache()}
	e.text = func(part string, at int) error {
		e.base = at
		return t.matchLater.cut(part, e.ordinary, e.later, e.token)
	}
	e.later = func(part string, at int) error { return e.pieces(part, e.base+at, 0) }
	e.token = func(id uint32) { e.out = append(e.out, id) }
	return e
}

func (e *encoder) append(dst []uint32, text string, ordinary bool) ([]uint32, error) {
	e.out, e.ordinary, e.base = dst, ordinary, 0
	err := e.t.matchRaw.cut(text, ordinary, e.text, e.token)
	out := e.out
	e.out = nil
	if err != nil {
		return dst, err
	}
	return out, nil
}

// pieces cuts s, which is what the scanners before number n left, and encodes
// the words; at is its place in the text.
func (e *encoder) pieces(s string, at, n int) error {
	scanners := e.t.split.scanners
	if n == len(scanners)-1 && !e.t.split.prefixSpace {
		scan := scanners[n]
		for i := 0; i < len(s); {
			end := i + scan(s[i:])
			if err := e.word(s[i:end], at+i); err != nil {
				return err
			}
			i = end
		}
		return nil
	}
	return e.piecesSlowly(s, at, n)
}

func (e *encoder) piecesSlowly(s string, at, n int) error {
	split := &e.t.split
	last := len(split.scanners) - 1
	if n == last && split.prefixSpace && s[0] != ' ' {
		s, at = " "+s, at-1
	}
	for i := 0; i < len(s); {
		end := i + split.scanners[n](s[i:])
		var err error
		if n == last {
			err = e.word(s[i:end], at+i)
		} else {
			err = e.pieces(s[i:end], at+i, n+1)
		}
		if err != nil {
			return err
		}
		i = end
	}
	return nil
}

// word encodes one word, from the cache if it can.
func (e *encoder) word(w string, at int) error {
	slot := e.cache.slot(w)
	if slot != nil && slot.holds(w) {
		e.out = append(e.out, slot.ids[:slot.count]...)
		return nil
	}
	from := len(e.out)
	if err := e.encodeWord(w, at); err != nil {
		return err
	}
	if slot != nil {
		slot.keep(w, e.out[from:])
	}
	return nil
}

func (e *encoder) encodeWord(w string, at int) error {
	t := e.t
	if t.ignoreMerges {
		if id, ok := t.words[w]; ok {
			e.out = append(e.out, id)
			return nil
		}
	}
	m := &e.merger
	m.symbols = m.symbols[:0]
	unknown := false // the symbol before was unknown
	for i := range len(w) {
		id := t.byteID[w[i]]
		if id == none {
			if t.unk == none {
				return e.missing(w, i, at)
			}
			if !(unknown && t.fuseUnk) {
				m.symbols = append(m.symbols, t.unk)
			}
			unknown = true
			continue
		}
		unknown = false
		m.symbols = append(m.symbols, id)
	}
	m.merge(&t.table)
	e.out = append(e.out, m.symbols...)
	return nil
}

// missing says which character of word w the vocabulary has no byte for.
func (e *encoder) missing(w string, i, at int) error {
	start := i
	for start > 0 && !utf8.RuneStart(w[start]) {
		start--
	}
	c, width := utf8.DecodeRuneInString(w[start:])
	if start+width <= i || c == utf8.RuneError && width == 1 { // not UTF-8
		return fmt.Errorf("tokenizer: cannot encode the byte 0x%02X at byte %d of the text: the vocabulary has no token for it; remove it or use a tokenizer with all bytes", w[i], at+i)
	}
	return fmt.Errorf("tokenizer: cannot encode %q (U+%04X) at byte %d of the text: the vocabulary has no token for it; remove it or use a tokenizer with all bytes", c, c, at+start)
}
