// Package chart draws the curves of runs: as an image, or in a terminal.
package chart

import (
	"fmt"
	"math"
	"sort"

	"bitnet/bitnet/runs"
	"bitnet/data/printable"
)

// Options say what is drawn.
type Options struct {
	Axis runs.Axis
	// Smooth is what a value weighs in the mean of one that lies a 300th of the
	// chart away, in panels that may be smoothed: 0 (nothing, no smoothing) to
	// below 1. It does not depend on how many points there are.
	Smooth float64
	// Keys draws these metrics alone, each in a panel of its own from 0; nil
	// draws the panels of the table of metrics.
	Keys []runs.Key
}

// charts are the panels of metrics to draw.
func (o Options) charts() []runs.Chart {
	if o.Keys == nil {
		return runs.Charts()
	}
	var list []runs.Chart
	for _, k := range o.Keys {
		list = append(list, runs.Chart{Panel: runs.Panel{Title: k.Metric().Title, FromZero: true}, Keys: []runs.Key{k}})
	}
	return list
}

// Source is a run to draw.
type Source struct {
	Name   string
	Curves *runs.Curves
	Evals  []runs.Eval
}

// Load reads what is drawn of a run over an axis, in at most limit points.
func Load(r *runs.Run, axis runs.Axis, limit int) (Source, error) {
	var keys []runs.Key
	for _, c := range runs.Charts() {
		keys = append(keys, c.Keys...)
	}
	switch axis {
	case runs.ByTokens:
		keys = append(keys, runs.TokensSeen)
	case runs.ByTime:
		keys = append(keys, runs.StepTimeMS)
	}
	c, err := runs.ReadCurves(r.Log("metrics"), 0, 0, limit, keys...)
	if err != nil {
		return Source{}, fmt.Errorf("reading run %s: %w", printable.String(r.Name), err)
	}
	evals, err := r.Evals()
	if err != nil {
		return Source{}, fmt.Errorf("reading run %s: %w", printable.String(r.Name), err)
	}
	return Source{printable.String(r.Name), c, evals}, nil
}

// Panel is one chart: curves over the same axes.
type Panel struct {
	Title  string
	Log    bool   // the vertical axis is logarithmic
	Zero   bool   // the vertical axis begins at 0
	XLabel string // of the horizontal axis; "" is the chart's own
	XLog   bool   // the horizontal axis is logarithmic
	Curves []Curve
	// XMin...XMax and YMin...YMax are what is shown.
	XMin, XMax, YMin, YMax float64
}

// Style is how a curve is drawn.
type Style int

const (
	Line   Style = iota
	Dots         // a line with a dot at every point: there are few
	Faint        // what a smoothed line was made of
	Points       // dots without a line
)

// Curve is a line of a panel. Gaps are NaN. Low and High are the smallest and
// the largest value that a point stands for; nil where a point is one value.
type Curve struct {
	Run       int // whose it is: decides the colour
	Label     string
	Shade     int // tells curves of one run in one panel apart
	Style     Style
	X, Y      []float64
	Low, High []float64
	Parts     bool      // Low and High are of projections, not of steps
	NotFinite []float64 // places where there were values that are not finite
}

// Panels makes the charts of some runs; those that would be empty are left out.
// xLabel names the horizontal axis, whose unit fits the longest run.
func Panels(sources []Source, o Options) (panels []Panel, xLabel string) {
	xs := make([][]float64, len(sources))
	longest := 0.0
	for i, s := range sources {
		xs[i] = s.Curves.X(o.Axis)
		if n := len(xs[i]); n > 0 {
			longest = max(longest, xs[i][n-1])
		}
	}
	xLabel = string(o.Axis)
	if o.Axis == runs.ByTime {
		unit := 1.0
		unit, xLabel = timeUnit(longest)
		longest /= unit
		for _, x := range xs {
			for i := range x {
				x[i] /= unit
			}
		}
	}
	var all []Panel
	drawn := map[string]bool{} // scores
	for _, c := range o.charts() {
		p := Panel{Title: title(c), Zero: c.FromZero}
		w := 0.0
		if c.Smooth {
			w = o.Smooth
		}
		for i, s := range sources {
			for shade, k := range c.Keys {
				for _, line := range curves(i, xs[i], s.Curves.Series(k), w, longest/300) {
					if len(c.Keys) > 1 {
						line.Label, line.Shade = k.Metric().Title, shade
					}
					p.Curves = append(p.Curves, line)
				}
			}
		}
		if c.Score != "" {
			drawn[c.Score] = true
			for i, s := range sources {
				if line := scoreCurve(i, s, xs[i], c.Score, ""); len(line.X)+len(line.NotFinite) > 0 {
					line.Label, line.Shade = c.Score, len(c.Keys)
					p.Curves = append(p.Curves, line)
				}
			}
		}
		all = append(all, p)
	}
	all = append(all, ternaryPanel(sources, xs))
	all = append(all, scorePanels(sources, xs, drawn)...)
	for _, p := range all {
		if p.frame() {
			panels = append(panels, p)
		}
	}
	end := 0.0
	for _, p := range panels {
		end = max(end, p.XMax)
	}
	for i := range panels {
		panels[i].XMin, panels[i].XMax = 0, max(end, 1e-9)
	}
	return panels, xLabel
}

// axisLabel is the panel's own label of the horizontal axis, or the chart's.
func (p *Panel) axisLabel(chart string) string {
	if p.XLabel != "" {
		return p.XLabel
	}
	return chart
}

// title names a chart, with the unit of what it draws.
func title(c runs.Chart) string {
	if unit := c.Keys[0].Metric().Unit; unit != "" {
		return fmt.Sprintf("%s (%s)", c.Title, unit)
	}
	return c.Title
}

// curves are the line of a series and, where it is smoothed, the faint one
// behind it.
func curves(run int, x []float64, s runs.Series, w, unit float64) []Curve {
	c := Curve{Run: run, X: x, Y: s.Mean}
	for i := range x {
		if s.NotFinite[i] > 0 {
			c.NotFinite = append(c.NotFinite, x[i])
		}
		if s.Min[i] < s.Max[i] {
			c.Low, c.High = s.Min, s.Max
		}
	}
	if w <= 0 || unit <= 0 {
		return []Curve{c}
	}
	faint := c
	faint.Style, faint.NotFinite = Faint, nil
	c.Low, c.High = nil, nil
	c.Y = smooth(x, c.Y, w, unit)
	return []Curve{faint, c}
}

// smooth is the mean of all values with the weight w^distance, so that it does
// not lag behind: an exponential mean from both sides. The distance is in units
// of the horizontal axis. What is NaN stays so and counts for nothing.
func smooth(x, y []float64, w, unit float64) []float64 {
	out, weight := make([]float64, len(y)), make([]float64, len(y))
	sum, n := 0.0, 0.0
	fade := func(i, j int) {
		if d := math.Pow(w, math.Abs(x[i]-x[j])/unit); !math.IsNaN(d) {
			sum, n = d*sum, d*n
		}
	}
	for i, v := range y {
		if i > 0 {
			fade(i, i-1)
		}
		out[i], weight[i] = sum, n // of those before
		if !math.IsNaN(v) {
			sum, n = sum+v, n+1
		}
	}
	sum, n = 0, 0
	for i := len(y) - 1; i >= 0; i-- {
		if i+1 < len(y) {
			fade(i, i+1)
		}
		if math.IsNaN(y[i]) {
			out[i] = math.NaN()
			continue
		}
		sum, n = sum+y[i], n+1
		out[i] = (out[i] + sum) / (weight[i] + n)
	}
	return out
}

// scoreCurve is a score of a run's evaluations.
func scoreCurve(run int, s Source, x []float64, name, part string) Curve {
	c := Curve{Run: run, Style: Dots}
	steps := s.Curves.X(runs.BySteps)
	for _, e := range s.Evals {
		for _, score := range e.All() {
			if score.Name != name || score.Part != part {
				continue
			}
			at := place(steps, x, float64(e.Step))
			if !(math.Abs(score.Value) < 1e100) {
				c.NotFinite = append(c.NotFinite, at)
				continue
			}
			v := score.Value
			if score.Unit == runs.Share {
				v *= 100
			}
			c.X, c.Y = append(c.X, at), append(c.Y, v)
		}
	}
	return c
}

// scorePanels are a panel for each score but those that are drawn elsewhere,
// in the order in which the evaluations name them. Of a single run it shows the
// parts as well, where they are few.
func scorePanels(sources []Source, xs [][]float64, drawn map[string]bool) []Panel {
	var panels []Panel
	for _, s := range sources {
		for _, e := range s.Evals {
			for _, score := range e.All() {
				if drawn[score.Name] {
					continue
				}
				drawn[score.Name] = true
				p := Panel{Title: printable.String(score.Name), Zero: score.Unit == runs.Share || score.Unit == runs.Count}
				if score.Unit == runs.Share {
					p.Title += " (%)"
				}
				if len(sources) == 1 { // first, so that the whole is drawn over them
					p.Curves = append(p.Curves, partCurves(s, xs[0], score.Name)...)
				}
				for i, s := range sources {
					if c := scoreCurve(i, s, xs[i], score.Name, ""); len(c.X)+len(c.NotFinite) > 0 {
						p.Curves = append(p.Curves, c)
					}
				}
				panels = append(panels, p)
			}
		}
	}
	return panels
}

// partCurves are the parts of a score that the last evaluation has.
func partCurves(s Source, x []float64, name string) []Curve {
	var list []Curve
	for i, part := range s.Evals[len(s.Evals)-1].Parts(name) {
		c := scoreCurve(0, s, x, name, part.Part)
		c.Label, c.Shade, c.Style = printable.String(part.Part), i+1, Line
		list = append(list, c)
	}
	return list
}

// place finds where a step lies on the axis whose values at some steps are x.
func place(steps, x []float64, step float64) float64 {
	i := sort.SearchFloat64s(steps, step)
	switch {
	case len(steps) == 0:
		return step
	case i == len(steps):
		return x[i-1]
	case i == 0 || steps[i] == step:
		return x[i]
	}
	return x[i-1] + (x[i]-x[i-1])*(step-steps[i-1])/(steps[i]-steps[i-1])
}

// ternaryPanel is the mean over all projections of the shares of -1, 0 and +1;
// of several runs the share of 0 alone. The range is that of the projections.
func ternaryPanel(sources []Source, xs [][]float64) Panel {
	p := Panel{Title: "ternary weights (%)"}
	which := []int{0, 1, 2}
	if len(sources) > 1 {
		p.Title, which = "weights that are 0 (%)", []int{1}
	}
	for run, s := range sources {
		names := s.Curves.Projections()
		n := len(xs[run])
		for _, w := range which {
			c := Curve{Run: run, X: xs[run], Y: make([]float64, n), Low: make([]float64, n), High: make([]float64, n)}
			if len(which) > 1 {
				c.Label, c.Shade = []string{"-1", "0", "+1"}[w], w
			}
			count := make([]int, n)
			for _, name := range names {
				for i, v := range s.Curves.Ternary(name)[w] {
					if math.IsNaN(v) {
						continue
					}
					v *= 100
					if count[i] == 0 {
						c.Low[i], c.High[i] = v, v
					}
					c.Y[i] += v
					c.Low[i], c.High[i] = min(c.Low[i], v), max(c.High[i], v)
					count[i]++
				}
			}
			c = keepKnown(c, count)
			if len(c.X) > 0 {
				p.Curves = append(p.Curves, c)
			}
		}
	}
	return p
}

// keepKnown leaves of a sum those points that have values, and makes it a mean.
func keepKnown(c Curve, count []int) Curve {
	out := Curve{Run: c.Run, Label: c.Label, Shade: c.Shade, Parts: true}
	for i, n := range count {
		if n > 0 {
			out.X, out.Y = append(out.X, c.X[i]), append(out.Y, c.Y[i]/float64(n))
			out.Low, out.High = append(out.Low, c.Low[i]), append(out.High, c.High[i])
		}
	}
	return out
}

// frame finds what a panel shows, and says whether there is anything.
func (p *Panel) frame() bool {
	p.XMin, p.YMin = math.Inf(1), math.Inf(1)
	p.XMax, p.YMax = math.Inf(-1), math.Inf(-1)
	positive, low, high := true, math.Inf(1), math.Inf(-1)
	for _, c := range p.Curves {
		for _, x := range c.NotFinite {
			p.XMin, p.XMax = min(p.XMin, x), max(p.XMax, x)
		}
		for i, x := range c.X {
			if math.IsNaN(c.Y[i]) {
				continue
			}
			p.XMin, p.XMax = min(p.XMin, x), max(p.XMax, x)
			low, high = min(low, c.Y[i]), max(high, c.Y[i])
			bottom, top := c.Y[i], c.Y[i]
			if c.Low != nil {
				bottom, top = c.Low[i], c.High[i]
			}
			p.YMin, p.YMax = min(p.YMin, bottom), max(p.YMax, top)
			positive = positive && bottom > 0
		}
	}
	if p.XMin > p.XMax {
		return false
	}
	if p.YMin > p.YMax { // nothing but values that are not finite
		p.YMin, p.YMax = 0, 1
	}
	if p.Zero {
		p.YMin = min(0, p.YMin)
	}
	p.Log = !p.Zero && positive && p.YMax > 10*p.YMin && p.YMax/p.YMin < 1e60
	switch {
	case p.Log:
		room := math.Pow(p.YMax/p.YMin, 0.04)
		p.YMin, p.YMax = p.YMin/room, p.YMax*room
	case p.YMin == p.YMax && p.YMin == 0:
		p.YMax = 1
	case p.YMin == p.YMax:
		room := math.Abs(p.YMin) * 0.1
		p.YMin, p.YMax = p.YMin-room, p.YMax+room
	default:
		room := (p.YMax - p.YMin) * 0.05
		p.YMax += room
		if !p.Zero || p.YMin < 0 {
			p.YMin -= room
		}
	}
	return true
}
