package runs

import (
	"fmt"
	"math"
	"strings"
)

// Format says how a number is written for people. The live page writes numbers
// by the same names.
type Format string

const (
	Plain   Format = "plain"   // four significant digits
	Short   Format = "short"   // 1.23M
	Millis  Format = "ms"      // milliseconds
	Bytes   Format = "bytes"   // 205 MiB
	Percent Format = "percent" // of a share of 0 to 1
	Whole   Format = "whole"   // 1,234
)

// Text writes a number.
func (f Format) Text(v float64) string {
	switch f {
	case Short:
		return short(v)
	case Millis:
		if v >= 10000 {
			return fmt.Sprintf("%.1f s", v/1000)
		}
		return plain(v) + " ms"
	case Bytes:
		return bytesText(v)
	case Percent:
		return fmt.Sprintf("%.1f%%", 100*v)
	case Whole:
		if math.Abs(v) < 1<<53 {
			return thousands(int64(math.Round(v)))
		}
	}
	return plain(v)
}

// plain has four significant digits, and no more digits than it needs.
func plain(v float64) string {
	a := math.Abs(v)
	switch {
	case v == 0 || a >= 0.01 && a < 1000:
		return strings.TrimSuffix(fmt.Sprintf("%.4g", v), ".0")
	case a >= 1000 && a < 1e15:
		return thousands(int64(math.Round(v)))
	}
	return fmt.Sprintf("%.3g", v)
}

// short writes thousands, millions and so on with a letter.
func short(v float64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e4, "k"}} {
		if v >= u.size {
			if u.name == "k" {
				u.size = 1e3
			}
			return fmt.Sprintf("%.3g%s", v/u.size, u.name)
		}
	}
	return fmt.Sprintf("%.0f", v)
}

func bytesText(v float64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		switch n := v / u.size; {
		case n >= 100:
			return fmt.Sprintf("%.0f %s", n, u.name)
		case n >= 1:
			return fmt.Sprintf("%.3g %s", n, u.name)
		}
	}
	return fmt.Sprintf("%.0f B", v)
}

// thousands writes 1234567 as 1,234,567.
func thousands(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
