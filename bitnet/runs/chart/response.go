package chart

import (
	"cmp"
	"math"
	"slices"
)

// Measured is one result of a sweep: the value that settings came to.
type Measured struct {
	Run   int     // of the curve's name: decides the colour
	X     float64 // of the setting that the panel is about
	Y     float64
	Low   float64 // smallest and largest over seeds
	High  float64
	Joins bool // it belongs to a grid: neighbours of a curve are joined by a line
}

// Responses is a panel that shows how a result depends on one setting. The
// horizontal axis is logarithmic where the values are positive and a factor of 5
// or more apart. It is nil where fewer than two values of the setting were
// measured.
func Responses(title, setting string, list []Measured) *Panel {
	byRun := map[int][]Measured{}
	low, high := math.Inf(1), math.Inf(-1)
	for _, m := range list {
		if !math.IsNaN(m.Y) {
			byRun[m.Run] = append(byRun[m.Run], m)
			low, high = min(low, m.X), max(high, m.X)
		}
	}
	if !(low < high) {
		return nil
	}
	p := &Panel{Title: title, XLabel: setting, XLog: low > 0 && high/low >= 5}
	runs := make([]int, 0, len(byRun))
	for run := range byRun {
		runs = append(runs, run)
	}
	slices.Sort(runs)
	for _, run := range runs {
		of := byRun[run]
		slices.SortStableFunc(of, func(a, b Measured) int { return cmp.Compare(a.X, b.X) })
		c := Curve{Run: run, Style: Points}
		if of[0].Joins {
			c.Style = Dots
		}
		seeds := slices.ContainsFunc(of, func(m Measured) bool { return m.Low < m.High })
		for _, m := range of {
			c.X, c.Y = append(c.X, m.X), append(c.Y, m.Y)
			if seeds {
				c.Low, c.High = append(c.Low, m.Low), append(c.High, m.High)
			}
		}
		p.Curves = append(p.Curves, c)
	}
	if !p.frame() {
		return nil
	}
	if p.XLog {
		room := math.Pow(p.XMax/p.XMin, 0.03)
		p.XMin, p.XMax = p.XMin/room, p.XMax*room
	} else {
		room := (p.XMax - p.XMin) * 0.03
		p.XMin, p.XMax = p.XMin-room, p.XMax+room
	}
	return p
}
