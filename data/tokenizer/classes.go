package tokenizer

import "unicode/utf8"

// A class is a set of character properties that pre-tokenizers and added
// tokens ask about. The table is our own and not Go's unicode package, because
// splitting must not change with the version of the Go tool chain; it holds
// what Hugging Face tokenizers 0.22 answers: Unicode 16 for \p{L}, \p{N}, \s
// and \w (Oniguruma 6.9.10 and Rust's regex), Unicode 17 for "numeric" (Rust's
// char::is_numeric). A test compares it with them on every code point.
type class uint8

const (
	letter  class = 1 << iota // \p{L}
	number                    // \p{N}
	space                     // \s
	numeric                   // what the Digits pre-tokenizer calls a digit
	word                      // \w of single_word added tokens
)

type classRange struct {
	first, last rune
	class       class
}

const (
	blockBits = 7
	blockSize = 1 << blockBits
)

var (
	asciiClass  [utf8.RuneSelf]class
	classIndex  [(utf8.MaxRune + 1) >> blockBits]uint16
	classBlocks [][blockSize]class
)

func init() {
	// Block 0 holds no property, the blocks 1..31 one set of them throughout.
	uniform := map[class]uint16{0: 0}
	classBlocks = make([][blockSize]class, 1, 512)
	for _, r := range classRanges {
		for c := r.first; c <= r.last; {
			block := c >> blockBits
			end := min(r.last, (block+1)<<blockBits-1)
			if end-c+1 == blockSize {
				index, ok := uniform[r.class]
				if !ok {
					index = uint16(len(classBlocks))
					uniform[r.class] = index
					var b [blockSize]class
					for i := range b {
						b[i] = r.class
					}
					classBlocks = append(classBlocks, b)
				}
				classIndex[block] = index
				c = end + 1
				continue
			}
			if classIndex[block] == 0 {
				classIndex[block] = uint16(len(classBlocks))
				classBlocks = append(classBlocks, [blockSize]class{})
			}
			b := &classBlocks[classIndex[block]]
			for ; c <= end; c++ {
				b[c&(blockSize-1)] = r.class
			}
		}
	}
	copy(asciiClass[:], classBlocks[classIndex[0]][:])
}

func classOf(c rune) class {
	return classBlocks[classIndex[c>>blockBits]][c&(blockSize-1)]
}

// classAt gives the class and the width in bytes of the character at s[i:]. A
// byte that is not UTF-8 counts as a character without properties.
func classAt(s string, i int) (class, int) {
	if b := s[i]; b < utf8.RuneSelf {
		return asciiClass[b], 1
	}
	c, width := utf8.DecodeRuneInString(s[i:])
	return classOf(c), width
}

// classBefore is classAt for the character that ends at s[:i].
func classBefore(s string, i int) (class, int) {
	c, width := utf8.DecodeLastRuneInString(s[:i])
	return classOf(c), width
}
