package runs

import (
	"bytes"
	"encoding/binary"
	"math"
	"strconv"
)

// values are the known numbers of one line.
type values struct {
	num     [numKeys]float64
	set     uint32 // bit k: num[k] was there
	ternary []byte // the text of the object, nil if there is none
	// want are the bits of the numbers that are asked for, 0 for all; with enough
	// the rest of a line is not looked at once these are there.
	want   uint32
	enough bool
	next   [numKeys + 2]Key // the key that came behind one in the line before; the last is for the beginning
}

func (v *values) has(k Key) bool { return v.set>>k&1 != 0 }

// quoted are the keys as they begin a member of an object.
var quoted = func() (q [numKeys + 1]string) {
	for k, m := range table {
		q[k] = `"` + m.Name + `":`
	}
	q[ternaryKey] = `"` + ternaryName + `":`
	return q
}()

// scan reads the known numbers of a metrics line without allocating, in about
// the time that it takes to look at each byte once; it is what lets 10 million
// lines be read in seconds. Numbers may be NaN or Infinity, bare or in quotes;
// null counts as NaN. It reports false for a line that is not a JSON object
// with a step.
func scan(line []byte, v *values) bool {
	v.set, v.ternary = 0, nil
	i := space(line, 0)
	if i >= len(line) || line[i] != '{' {
		return false
	}
	i++
	before := Key(numKeys + 1)
	for {
		i = space(line, i)
		k := v.next[before] // lines of one program have their keys in one order
		if q := quoted[k]; len(line)-i > len(q) && string(line[i:i+len(q)]) == q {
			i += len(q)
		} else {
			if i >= len(line) || line[i] != '"' {
				return false
			}
			end := stringEnd(line, i+1)
			if end < 0 {
				return false
			}
			key := line[i+1 : end]
			if i = space(line, end+1); i >= len(line) || line[i] != ':' {
				return false
			}
			if k = keyOf(key); k < 0 && string(key) == ternaryName {
				k = ternaryKey
			}
			i++
		}
		i = space(line, i)
		x, end, ok := 0.0, -1, false
		if k >= 0 && k < numKeys && v.want != 0 && v.want>>k&1 == 0 && i < len(line) && line[i]-'0' < 10 {
			end = i + max(0, bytes.IndexByte(line[i:], ','))
		}
		if end <= i {
			if x, end, ok = value(line, i); end < 0 {
				return false
			}
		}
		switch {
		case k == ternaryKey:
			v.ternary = line[i:end]
		case k >= 0 && ok:
			v.num[k] = x
			v.set |= 1 << k
			if v.enough && v.set&v.want == v.want {
				return true
			}
		}
		if k >= 0 {
			v.next[before] = k
			before = k
		}
		if i = space(line, end); i >= len(line) {
			return false
		}
		if line[i] == '}' {
			return v.has(stepKey) && space(line, i+1) == len(line)
		}
		if line[i] != ',' {
			return false
		}
		i++
	}
}

// ternaryKey stands for the member that holds the ternary shares.
const (
	ternaryKey  = numKeys
	ternaryName = "ternary"
)

// value reads the value at i: the index behind it, or -1 if there is none;
// ok says that it is a number.
func value(line []byte, i int) (x float64, end int, ok bool) {
	if i >= len(line) {
		return 0, -1, false
	}
	switch c := line[i]; {
	case c-'0' < 10 || c == '-':
		if x, end, ok = number(line, i); ok {
			return x, end, true
		}
	case c == '{' || c == '[':
		return 0, nestedEnd(line, i), false
	case c == '"':
		if end = stringEnd(line, i+1); end < 0 {
			return 0, -1, false
		}
		x, ok = word(line[i+1 : end])
		return x, end + 1, ok
	}
	end = i
	for end < len(line) && line[end] != ',' && line[end] != '}' && line[end] > ' ' {
		end++
	}
	if x, ok = word(line[i:end]); !ok {
		return 0, -1, false
	}
	return x, end, true
}

func space(s []byte, i int) int {
	for i < len(s) && (s[i] == ' ' || s[i] == '\t' || s[i] == '\r' || s[i] == '\n') {
		i++
	}
	return i
}

// stringEnd is the index of the quote that closes a string whose text begins
// at i, or -1.
func stringEnd(s []byte, i int) int {
	for ; i < len(s); i++ {
		switch s[i] {
		case '"':
			return i
		case '\\':
			i++
		}
	}
	return -1
}

// nestedEnd is the index behind the object or array that begins at i, or -1.
func nestedEnd(s []byte, i int) int {
	// The first brace that closes is nearly always it, and is found fast.
	if n := bytes.IndexByte(s[i:], '}'); n >= 0 && s[i] == '{' && bytes.IndexByte(s[i+1:i+n], '{') < 0 {
		if next := space(s, i+n+1); next < len(s) && (s[next] == ',' || s[next] == '}') {
			return i + n + 1
		}
	}
	depth := 0
	for ; i < len(s); i++ {
		switch s[i] {
		case '{', '[':
			depth++
		case '}', ']':
			if depth--; depth == 0 {
				return i + 1
			}
		case '"':
			if i = stringEnd(s, i+1); i < 0 {
				return -1
			}
		}
	}
	return -1
}

func keyOf(s []byte) Key {
	for k := range numKeys {
		if string(s) == table[k].Name {
			return k
		}
	}
	return -1
}

// word is the value of a bare word or of a number in quotes.
func word(s []byte) (float64, bool) {
	switch string(s) {
	case "null":
		return math.NaN(), true
	case "true", "false":
		return 0, true
	}
	if len(s) > 32 {
		return 0, false
	}
	x, err := strconv.ParseFloat(string(s), 64)
	return x, err == nil
}

var powers = func() (p [23]float64) {
	for i, x := 0, 1.0; i < len(p); i, x = i+1, x*10 {
		p[i] = x
	}
	return p
}()

// number reads a JSON number at i: within one unit in the last place of what
// strconv gives, at a fraction of its cost. It returns the index behind it.
func number(s []byte, i int) (x float64, end int, ok bool) {
	start, negative := i, false
	if i < len(s) && s[i] == '-' {
		negative = true
		i++
	}
	first, exponent := i, 0
	var m uint64
	for i < len(s) && s[i]-'0' < 10 {
		if m < 1e18 {
			m = m*10 + uint64(s[i]-'0')
		} else {
			exponent++
		}
		i++
	}
	if i == first {
		return 0, i, false
	}
	if i < len(s) && s[i] == '.' {
		i++
		for i+8 <= len(s) && m < 1e11 {
			d, eight := eightDigits(s[i:])
			if !eight {
				break
			}
			m = m*1e8 + d
			exponent -= 8
			i += 8
		}
		for i < len(s) && s[i]-'0' < 10 {
			if m < 1e18 { // more digits do not change a float64
				m = m*10 + uint64(s[i]-'0')
				exponent--
			}
			i++
		}
	}
	if i < len(s) && s[i]|0x20 == 'e' {
		i++
		minus := false
		if i < len(s) && (s[i] == '-' || s[i] == '+') {
			minus = s[i] == '-'
			i++
		}
		first, e := i, 0
		for i < len(s) && s[i]-'0' < 10 && e < 10000 {
			e = e*10 + int(s[i]-'0')
			i++
		}
		if i == first {
			return 0, i, false
		}
		if minus {
			e = -e
		}
		exponent += e
	}
	x = float64(m)
	switch {
	case exponent < -22 || exponent > 22:
		// Beyond the powers of ten that a float64 holds exactly.
		x, err := strconv.ParseFloat(string(s[start:i]), 64)
		return x, i, err == nil || math.IsInf(x, 0)
	case exponent < 0:
		x /= powers[-exponent]
	default:
		x *= powers[exponent]
	}
	if negative {
		x = -x
	}
	return x, i, true
}

// eightDigits is the value of eight ASCII digits, found with a few operations
// on one 64-bit word: pairs, then fours, then eight.
func eightDigits(s []byte) (uint64, bool) {
	w := binary.LittleEndian.Uint64(s)
	low := w - 0x3030303030303030
	if (low|(low+0x7676767676767676)|w)&0x8080808080808080 != 0 {
		return 0, false
	}
	low = low*10 + low>>8
	const mask = 0x000000ff000000ff
	return ((low&mask)*(100+1000000<<32) + (low>>16&mask)*(1+10000<<32)) >> 32 & 0xffffffff, true
}
