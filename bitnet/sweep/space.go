package sweep

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// Dimension is one key of the configuration and what it may be: a list of values,
// or a range of numbers.
type Dimension struct {
	Key    string
	Values []string // nil for a range

	low, high float64
	whole     bool // whole numbers only
}

// maxPoints is the most settings that a sweep tries.
const maxPoints = 10_000

// ParseDimension reads KEY=A,B,C (a list), KEY=LOW..HIGH/N (N numbers with equal
// ratios, or equal distances where the ends are less than a factor of 10 apart) or
// KEY=LOW..HIGH (a range, for a random search).
func ParseDimension(text string) (Dimension, error) {
	key, spec, ok := strings.Cut(text, "=")
	if !ok || key == "" || spec == "" {
		return Dimension{}, fmt.Errorf("--over %s: want KEY=A,B,C or KEY=LOW..HIGH/N, for example learning_rate=1e-3,2e-3,4e-3", text)
	}
	d := Dimension{Key: key}
	if from, rest, ok := strings.Cut(spec, ".."); ok {
		if err := d.parseRange(from, rest); err != nil {
			return Dimension{}, fmt.Errorf("--over %s: %w", text, err)
		}
		return d, nil
	}
	for _, v := range strings.Split(spec, ",") {
		v = strings.TrimSpace(v)
		if v == "" || slices.Contains(d.Values, v) {
			return Dimension{}, fmt.Errorf("--over %s: a value is empty or there twice", text)
		}
		d.Values = append(d.Values, v)
	}
	return d, nil
}

func (d *Dimension) parseRange(from, rest string) error {
	to, count, spaced := strings.Cut(rest, "/")
	var err error
	if d.low, err = strconv.ParseFloat(from, 64); err == nil {
		d.high, err = strconv.ParseFloat(to, 64)
	}
	if err != nil || !(d.low < d.high) || math.IsInf(d.high-d.low, 0) {
		return fmt.Errorf("a range is two numbers, the lower one first: 1e-4..1e-2")
	}
	_, lowErr := strconv.Atoi(from)
	_, highErr := strconv.Atoi(to)
	d.whole = lowErr == nil && highErr == nil
	if !spaced {
		return nil
	}
	n, err := strconv.Atoi(count)
	if err != nil || n < 2 || n > maxPoints {
		return fmt.Errorf("say how many values after the slash, 2 or more: 1e-4..1e-2/5")
	}
	for i := range n {
		v := d.at(float64(i) / float64(n-1))
		if !slices.Contains(d.Values, v) {
			d.Values = append(d.Values, v)
		}
	}
	return nil
}

// at is the number at a share of the range, from 0 to 1, with 3 significant digits.
func (d *Dimension) at(share float64) string {
	v := d.low + share*(d.high-d.low)
	if d.low > 0 && d.high/d.low >= 10 {
		v = d.low * math.Pow(d.high/d.low, share)
	}
	if d.whole {
		return strconv.FormatInt(int64(math.Round(v)), 10)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// Grid lists all combinations; the last dimension changes fastest. Each is a list
// of key=value.
func Grid(space []Dimension) ([][]string, error) {
	points := [][]string{nil}
	for _, d := range space {
		if d.Values == nil {
			return nil, fmt.Errorf("--over %s is a range: say how many values, as in LOW..HIGH/5, or use --random", d.Key)
		}
		if len(points)*len(d.Values) > maxPoints {
			return nil, fmt.Errorf("the grid has more than %d points: leave out values, or use --random", maxPoints)
		}
		var next [][]string
		for _, p := range points {
			for _, v := range d.Values {
				next = append(next, append(slices.Clone(p), d.Key+"="+v))
			}
		}
		points = next
	}
	return points, nil
}

// Random draws n different combinations: values of lists with equal chances,
// numbers of ranges evenly over the range or, where its ends are a factor of 10
// or more apart, over its logarithm. The same seed draws the same ones. It gives
// fewer where there are not as many.
func Random(space []Dimension, n int, seed uint64) ([][]string, error) {
	if n < 1 || n > maxPoints {
		return nil, fmt.Errorf("--random %d: give a number from 1 to %d", n, maxPoints)
	}
	random := rand.New(rand.NewPCG(seed, 0x5eed))
	seen := map[string]bool{}
	var points [][]string
	for tries := 0; len(points) < n && tries < 100*n; tries++ {
		var p []string
		for _, d := range space {
			v := ""
			if d.Values != nil {
				v = d.Values[random.IntN(len(d.Values))]
			} else {
				v = d.at(random.Float64())
			}
			p = append(p, d.Key+"="+v)
		}
		if name := strings.Join(p, " "); !seen[name] {
			seen[name] = true
			points = append(points, p)
		}
	}
	return points, nil
}
