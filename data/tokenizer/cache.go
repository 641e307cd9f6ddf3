package tokenizer

import "math/bits"

const (
	cacheBits    = 15 // 2 MiB an encoder
	cachedBytes  = 30
	cachedTokens = 8
)

// wordCache remembers the ids of words. Every word has one place, which the most
// recent word takes: text repeats its words so often that nothing cleverer pays,
// and the memory is fixed.
type wordCache struct{ slots []cachedWord }

type cachedWord struct {
	length, count uint8 // length 0: empty
	bytes         [cachedBytes]byte
	ids           [cachedTokens]uint32
}

func newWordCache() wordCache { return wordCache{make([]cachedWord, 1<<cacheBits)} }

// slot gives the place of w, or nil when w is too long for the cache.
func (c *wordCache) slot(w string) *cachedWord {
	if len(w) > cachedBytes {
		return nil
	}
	return &c.slots[hashWord(w)>>(64-cacheBits)]
}

func (s *cachedWord) holds(w string) bool {
	return int(s.length) == len(w) && string(s.bytes[:s.length]) == w
}

func (s *cachedWord) keep(w string, ids []uint32) {
	if len(ids) > cachedTokens {
		return
	}
	s.length, s.count = uint8(len(w)), uint8(len(ids))
	copy(s.bytes[:], w)
	copy(s.ids[:], ids)
}

// hashWord mixes eight bytes at a time by multiplication.
func hashWord(w string) uint64 {
	h := uint64(len(w)) * 0x9E3779B97F4A7C15
	for len(w) > 8 {
		h = mix(h, load64(w))
		w = w[8:]
	}
	var tail uint64
	switch n := len(w); {
	case n == 8:
		tail = load64(w)
	case n >= 4:
		tail = uint64(load32(w)) | uint64(load32(w[n-4:]))<<32
	case n > 0:
		tail = uint64(w[0]) | uint64(w[n/2])<<8 | uint64(w[n-1])<<16
	}
	return mix(h, tail)
}

func mix(h, x uint64) uint64 {
	hi, lo := bits.Mul64(h^x^0xA0761D6478BD642F, 0xE7037ED1A0B428DB)
	return hi ^ lo
}

func load64(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

func load32(s string) uint32 {
	_ = s[3]
	return uint32(s[0]) | uint32(s[1])<<8 | uint32(s[2])<<16 | uint32(s[3])<<24
}
