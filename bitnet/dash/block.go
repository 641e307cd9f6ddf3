package dash

import (
	"math"
	"strconv"

	"bitnet/bitnet/runs"
)

// number is a float64 that JSON can hold: null if it is not finite, else with
// six significant digits, which is more than a screen shows.
type number float64

func (n number) MarshalJSON() ([]byte, error) { return appendNumber(nil, float64(n), 6), nil }

func appendNumber(b []byte, v float64, digits int) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(b, "null"...)
	}
	return strconv.AppendFloat(b, v, 'g', digits, 64)
}

// column is a list of numbers, places one of places on an axis, which need
// more digits where one zooms in.
type (
	column []float64
	places []float64
)

func (c column) MarshalJSON() ([]byte, error) { return appendList(c, 6), nil }
func (p places) MarshalJSON() ([]byte, error) { return appendList(p, 12), nil }

func appendList(list []float64, digits int) []byte {
	b := append(make([]byte, 0, 2+9*len(list)), '[')
	for i, v := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendNumber(b, v, digits)
	}
	return append(b, ']')
}

// block is a stretch of a run's metrics, a column for each number. Each row
// covers width steps.
type block struct {
	Run    string           `json:"run"`
	Width  int64            `json:"width"`
	Slot   []int64          `json:"slot"` // numbers the rows
	Step   []int64          `json:"step"` // of the last line of a row
	Tokens []int64          `json:"tokens"`
	Time   places           `json:"time"` // seconds of training
	Keys   map[string]curve `json:"keys"`
}

// curve has the mean of each row, and the least and the greatest value and how
// many were not finite where that says more.
type curve struct {
	Mean column `json:"mean"`
	Low  column `json:"low,omitempty"`
	High column `json:"high,omitempty"`
	Bad  []int  `json:"bad,omitempty"`
}

// shown are the metrics that the page's charts draw.
func shown() []runs.Key {
	var keys []runs.Key
	for _, c := range runs.Charts() {
		for _, k := range c.Keys {
			keys = append(keys, k)
			if spread := k.Metric().Spread; spread != 0 {
				keys = append(keys, spread)
			}
		}
	}
	return keys
}

// newBlock makes a block of the rows from slot first on.
func newBlock(name string, c *runs.Curves, first int64) *block {
	steps := c.X(runs.BySteps)
	b := &block{Run: name, Width: c.Width(), Slot: []int64{}, Step: []int64{}, Tokens: []int64{}, Keys: map[string]curve{}}
	from := len(steps)
	for from > 0 && slot(steps[from-1], b.Width) >= first {
		from--
	}
	tokens := c.X(runs.ByTokens)
	for i := from; i < len(steps); i++ {
		b.Slot = append(b.Slot, slot(steps[i], b.Width))
		b.Step = append(b.Step, int64(steps[i]))
		b.Tokens = append(b.Tokens, int64(tokens[i]))
	}
	b.Time = c.X(runs.ByTime)[from:]
	for _, k := range shown() {
		if s, ok := newCurve(c.Series(k), from); ok {
			b.Keys[k.String()] = s
		}
	}
	return b
}

// slot numbers the row of a step, as runs.Curves does.
func slot(step float64, width int64) int64 {
	return int64(math.Floor((step - 1) / float64(width)))
}

// newCurve reports false for a number that is not in the log.
func newCurve(s runs.Series, from int) (curve, bool) {
	c := curve{Mean: s.Mean[from:]}
	there, spread, bad := false, false, false
	for i := from; i < len(s.Mean); i++ {
		there = there || !math.IsNaN(s.Mean[i]) || s.NotFinite[i] > 0
		spread = spread || s.Max[i] > s.Min[i]
		bad = bad || s.NotFinite[i] > 0
	}
	if spread {
		c.Low, c.High = s.Min[from:], s.Max[from:]
	}
	if bad {
		c.Bad = s.NotFinite[from:]
	}
	return c, there
}
