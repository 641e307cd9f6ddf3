package tokenizer

// Byte-level BPE writes every byte as one printable character, so that a
// vocabulary is plain text: printable Latin-1 bytes are written as themselves, the
// others are moved to U+0100 and up in the order of the bytes (Radford et al.
// 2019, GPT-2). A space becomes "Ġ", a newline "Ċ".
var (
	symbolOfByte [256]rune
	byteOfSymbol [324]int16 // by character; -1 where the character is no symbol
)

func init() {
	for i := range byteOfSymbol {
		byteOfSymbol[i] = -1
	}
	moved := rune(256)
	for b := range 256 {
		c := rune(b)
		printable := b >= '!' && b <= '~' || b >= 0xA1 && b <= 0xAC || b >= 0xAE
		if !printable {
			c = moved
			moved++
		}
		symbolOfByte[b] = c
		byteOfSymbol[c] = int16(b)
	}
}

// toSymbols spells raw bytes as a vocabulary does.
func toSymbols(raw string) string {
	out := make([]rune, len(raw))
	for i := range len(raw) {
		out[i] = symbolOfByte[raw[i]]
	}
	return string(out)
}

// fromSymbols is the inverse of toSymbols; ok is false when token holds a
// character that is the symbol of no byte (added tokens may).
func fromSymbols(token string) (raw string, ok bool) {
	out := make([]byte, 0, len(token))
	for _, c := range token {
		if int(c) >= len(byteOfSymbol) || byteOfSymbol[c] < 0 {
			return "", false
		}
		out = append(out, byte(byteOfSymbol[c]))
	}
	return string(out), true
}

// alphabet lists the 256 bytes in the order of their symbols, which is the
// order that their ids take when a vocabulary is trained.
func alphabet() []byte {
	out := make([]byte, 0, 256)
	for _, b := range byteOfSymbol {
		if b >= 0 {
			out = append(out, byte(b))
		}
	}
	return out
}
