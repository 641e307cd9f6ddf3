package chart

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// tick is a labelled place on an axis.
type tick struct {
	at    float64
	label string
}

// ticks chooses at most about n round places between low and high.
func ticks(low, high float64, n int, logarithmic bool) []tick {
	if !(low < high) || math.IsInf(high-low, 0) {
		return nil
	}
	if logarithmic {
		if t := logTicks(low, high, n); len(t) >= 2 {
			return t
		}
	}
	raw := (high - low) / float64(max(n, 1))
	unit := math.Pow(10, math.Floor(math.Log10(raw)))
	step := 10 * unit
	for _, m := range []float64{1, 2, 5} {
		if m*unit >= raw*(1-1e-9) {
			step = m * unit
			break
		}
	}
	var out []tick
	for i := math.Ceil(low/step - 1e-9); i*step <= high+step*1e-9 && len(out) < 100; i++ {
		out = append(out, tick{i * step, label(i*step, step, max(math.Abs(low), math.Abs(high)))})
	}
	return out
}

// logTicks are powers of ten and, the shorter the range, the more multiples of
// these.
func logTicks(low, high float64, n int) []tick {
	decades := math.Log10(high / low)
	multiples := []float64{1}
	for _, m := range [][]float64{{1, 2, 3, 4, 5, 6, 7, 8, 9}, {1, 2, 3, 5, 7}, {1, 2, 5}} {
		if float64(len(m))*decades <= float64(n)+1 {
			multiples = m
			break
		}
	}
	every := int(math.Ceil(decades / float64(max(n, 1))))
	var out []tick
	for e := int(math.Floor(math.Log10(low))); e <= int(math.Ceil(math.Log10(high))); e++ {
		if len(multiples) == 1 && every > 1 && e%every != 0 {
			continue
		}
		for _, m := range multiples {
			if at := m * math.Pow(10, float64(e)); at >= low*(1-1e-9) && at <= high*(1+1e-9) {
				out = append(out, tick{at, label(at, at, at)})
			}
		}
	}
	return out
}

// label writes a value with the digits that tell it from one a step away; scale
// is the largest value next to it.
func label(v, step, scale float64) string {
	if math.Abs(v) < step*1e-6 {
		return "0"
	}
	if scale < 1e-3 || scale >= 1e15 {
		digits := math.Floor(math.Log10(math.Abs(v))+1e-9) - math.Floor(math.Log10(step)+1e-9)
		s := strconv.FormatFloat(v, 'e', min(max(0, int(digits)), 6), 64)
		return strings.Replace(s, "e-0", "e-", 1)
	}
	suffix := ""
	for _, u := range []struct {
		size float64
		name string
	}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if math.Abs(v) >= u.size*(1-1e-9) {
			v, step, suffix = v/u.size, step/u.size, u.name
			break
		}
	}
	digits := max(0, int(-math.Floor(math.Log10(step)+1e-9)))
	s := strconv.FormatFloat(v, 'f', min(digits, 9), 64)
	if strings.Contains(s, ".") && suffix != "" {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return s + suffix
}

// timeUnit is the unit, in seconds, that suits a time, and its axis's name.
func timeUnit(seconds float64) (float64, string) {
	for _, u := range []struct {
		size float64
		name string
	}{{86400, "days"}, {3600, "hours"}, {60, "minutes"}} {
		if seconds >= 3*u.size {
			return u.size, fmt.Sprintf("%s of training", u.name)
		}
	}
	return 1, "seconds of training"
}
