package chart

import "math"

// LogLog is a panel whose two axes are logarithmic, for quantities that grow by a
// power; there a power is a straight line. It has no panel where fewer than two
// places of the horizontal axis have positive values.
func LogLog(title, xLabel string, curves ...Curve) []Panel {
	p := Panel{Title: title, XLabel: xLabel, XLog: true, Log: true, Curves: curves}
	p.XMin, p.YMin = math.Inf(1), math.Inf(1)
	for _, c := range curves {
		for i, x := range c.X {
			if x > 0 && c.Y[i] > 0 {
				p.XMin, p.XMax = min(p.XMin, x), max(p.XMax, x)
				p.YMin, p.YMax = min(p.YMin, c.Y[i]), max(p.YMax, c.Y[i])
			} else {
				c.Y[i] = math.NaN()
			}
		}
	}
	if !(p.XMin < p.XMax) {
		return nil
	}
	room := func(low, high *float64) {
		r := max(math.Pow(*high / *low, 0.04), 1.05)
		*low, *high = *low/r, *high*r
	}
	room(&p.XMin, &p.XMax)
	room(&p.YMin, &p.YMax)
	return []Panel{p}
}
