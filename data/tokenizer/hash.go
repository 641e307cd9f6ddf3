package tokenizer

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

// Hash is a SHA-256, in hex, over everything that decides which ids a text
// gets: tokens, merges, added tokens and the way text is split. Two tokenizers
// with the same hash encode alike.
func (t *Tokenizer) Hash() string { return t.hash }

func (t *Tokenizer) computeHash() string {
	h := sha256.New()
	buf := make([]byte, 0, 1<<16)
	flush := func(always bool) {
		if always || len(buf) > 1<<15 {
			h.Write(buf)
			buf = buf[:0]
		}
	}
	text := func(s string) {
		buf = binary.AppendUvarint(buf, uint64(len(s)))
		buf = append(buf, s...)
		flush(false)
	}
	num := func(n uint64) {
		buf = binary.AppendUvarint(buf, n)
		flush(false)
	}
	flag := func(b bool) {
		if b {
			num(1)
		} else {
			num(0)
		}
	}
	text("bitnet byte-level BPE 1")
	text(t.form.splitName)
	flag(t.split.prefixSpace)
	flag(t.ignoreMerges)
	flag(t.fuseUnk)
	num(uint64(t.unk))
	num(uint64(t.model))
	num(uint64(len(t.tokens)))
	for _, s := range t.tokens {
		text(s)
	}
	num(uint64(len(t.merges)))
	for _, m := range t.merges {
		num(uint64(m.Left))
		num(uint64(m.Right))
	}
	num(uint64(len(t.added)))
	for _, a := range t.added {
		num(uint64(a.id))
		text(a.content)
		for _, b := range []bool{a.singleWord, a.lstrip, a.rstrip, a.normalized, a.special} {
			flag(b)
		}
	}
	flush(true)
	return hex.EncodeToString(h.Sum(nil))
}
