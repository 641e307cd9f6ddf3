package chart

import (
	"fmt"
	"math"
	"strings"
)

// Terminal draws panels with braille characters, columns wide: the first over
// the whole width, the others two in a row where there is room. Without colour
// the end of a run's curve is marked with its letter.
func Terminal(sources []Source, o Options, columns int, color bool) string {
	panels, xLabel := Panels(sources, o)
	return terminal(namesOf(sources), panels, xLabel, columns, color)
}

// TerminalResponses draws panels of Responses in a terminal; names are of their
// curves.
func TerminalResponses(names []string, panels []Panel, columns int, color bool) string {
	return terminal(names, panels, "", columns, color)
}

func terminal(names []string, panels []Panel, xLabel string, columns int, color bool) string {
	if len(panels) == 0 {
		return "there is nothing to draw yet: no metrics have been written; bitnet status says when they come\n"
	}
	columns = max(columns, 40)
	var b strings.Builder
	if len(names) > 1 {
		for i, name := range names {
			b.WriteString(ink(string(rune('a'+i%26)), i, color) + "  " + clipMiddle(name, columns-3) + "\n")
		}
	} else {
		b.WriteString(clipMiddle(names[0], columns) + "\n")
	}
	b.WriteString("\n")
	mark := len(names) > 1
	write := func(lines []string) { b.WriteString(strings.Join(lines, "\n") + "\n\n") }
	write(panels[0].draw(columns, 14, xLabel, mark, color))
	rest := panels[1:]
	const gap = 3
	if half := (columns - gap) / 2; half >= 38 {
		for len(rest) > 1 {
			left, right := rest[0].draw(half, 8, xLabel, mark, color), rest[1].draw(half, 8, xLabel, mark, color)
			for i := range left {
				left[i] += strings.Repeat(" ", half-visible(left[i])+gap) + right[i]
			}
			write(left)
			rest = rest[2:]
		}
	}
	for _, p := range rest {
		write(p.draw(columns, 8, xLabel, mark, color))
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// canvas is a grid of characters of 2 x 4 braille dots each.
type canvas struct {
	columns, rows int
	dots          []byte
	inks          []int  // 1 + the colour of what was drawn last, 0 for none
	marks         []rune // instead of dots where not 0
}

func newCanvas(columns, rows int) *canvas {
	n := columns * rows
	return &canvas{columns, rows, make([]byte, n), make([]int, n), make([]rune, n)}
}

// bits of the dots of a braille character, by row and column.
var brailleBits = [4][2]byte{{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}}

func (c *canvas) dot(x, y, ink int) {
	if x < 0 || y < 0 || x >= 2*c.columns || y >= 4*c.rows {
		return
	}
	i := y/4*c.columns + x/2
	c.dots[i] |= brailleBits[y%4][x%2]
	c.inks[i] = ink + 1
}

// mark puts a character where a dot would be, or at the nearest edge.
func (c *canvas) mark(x, y int, r rune, ink int) {
	i := min(max(y/4, 0), c.rows-1)*c.columns + min(max(x/2, 0), c.columns-1)
	c.marks[i], c.inks[i] = r, ink+1
}

// line draws a straight line between two dots, a dot for every column or row.
func (c *canvas) line(x0, y0, x1, y1, ink int) {
	n := max(abs(x1-x0), abs(y1-y0))
	for i := 0; i <= n; i++ {
		t := 0.0
		if n > 0 {
			t = float64(i) / float64(n)
		}
		c.dot(x0+int(math.Round(t*float64(x1-x0))), y0+int(math.Round(t*float64(y1-y0))), ink)
	}
}

// nearest is the dot at a share of the way to the last one; what lies outside of
// the panel is put just beyond its edge.
func nearest(share float64, last int) int {
	return int(math.Round(min(max(share*float64(last), -1), float64(last+1))))
}

func abs(x int) int { return max(x, -x) }

// draw gives the lines of a panel, rows of them for the curves.
func (p *Panel) draw(columns, rows int, xLabel string, mark, color bool) []string {
	yTicks := ticks(p.YMin, p.YMax, rows/2, p.Log)
	margin := 4
	for _, t := range yTicks {
		margin = max(margin, len(t.label))
	}
	c := newCanvas(columns-margin-2, rows)
	px := func(x float64) int {
		share := (x - p.XMin) / (p.XMax - p.XMin)
		if p.XLog {
			share = math.Log(x/p.XMin) / math.Log(p.XMax/p.XMin)
		}
		return nearest(share, 2*c.columns-1)
	}
	py := func(y float64) int {
		share := (y - p.YMin) / (p.YMax - p.YMin)
		if p.Log {
			share = math.Log(y/p.YMin) / math.Log(p.YMax/p.YMin)
		}
		return nearest(1-share, 4*rows-1)
	}
	for _, k := range p.Curves {
		if k.Style != Faint {
			c.curve(p, k, px, py, mark)
		}
	}
	title := p.Title
	if p.Log {
		title += ", log scale"
	}
	if key := p.key(); key != "" {
		title += ": " + key
	}
	out := []string{strings.Repeat(" ", margin+2) + clip(title, c.columns)}
	labels := map[int]string{}
	for _, t := range yTicks {
		if row := py(t.at) / 4; row >= 0 && row < rows {
			labels[row] = t.label
		}
	}
	for row := range rows {
		edge := "│"
		if labels[row] != "" {
			edge = "┤"
		}
		out = append(out, fmt.Sprintf("%*s %s%s", margin, labels[row], edge, c.row(row, color)))
	}
	return append(out, p.axis(c, margin, px, p.axisLabel(xLabel))...)
}

// curve draws one curve with the range of its points.
func (c *canvas) curve(p *Panel, k Curve, px, py func(float64) int, mark bool) {
	ink := k.Run
	if !mark {
		ink = k.Shade
	}
	drawn, lastX, lastY := false, 0, 0
	for i, x := range k.X {
		if math.IsNaN(k.Y[i]) {
			drawn = false
			continue
		}
		ax, ay := px(x), py(k.Y[i])
		if k.Low != nil && !k.Parts && k.High[i] > k.Low[i] {
			c.line(ax, py(k.Low[i]), ax, py(k.High[i]), ink)
		}
		if k.Style == Points {
			c.mark(ax, ay, '●', ink)
			if mark {
				c.mark(ax, ay, rune('a'+k.Run%26), ink)
			}
		} else if k.Style == Dots {
			// Apart from the line of the same run, as a dotted one.
			if drawn {
				for x := lastX; x <= ax; x += 4 {
					t := float64(x-lastX) / float64(max(1, ax-lastX))
					c.dot(x, lastY+int(math.Round(t*float64(ay-lastY))), ink)
				}
			}
			c.mark(ax, ay, '●', ink)
		} else if drawn {
			c.line(lastX, lastY, ax, ay, ink)
		} else {
			c.dot(ax, ay, ink)
		}
		drawn, lastX, lastY = true, ax, ay
	}
	end := rune(0)
	switch {
	case k.Style == Dots || k.Style == Points:
	case mark:
		end = rune('a' + k.Run%26)
	case k.Label != "":
		end = []rune(k.Label)[0]
	}
	if drawn && end != 0 {
		c.mark(lastX, lastY, end, ink)
	}
	for _, x := range k.NotFinite {
		c.mark(px(x), 0, '✕', ink)
	}
}

// key names the curves of a panel that have labels.
func (p *Panel) key() string {
	var parts []string
	seen := map[string]bool{}
	bad := false
	for _, k := range p.Curves {
		bad = bad || len(k.NotFinite) > 0
		if k.Label == "" || seen[k.Label] {
			continue
		}
		seen[k.Label] = true
		text := k.Label
		if k.Style == Dots {
			text = "● " + text
		}
		parts = append(parts, text)
	}
	if bad {
		parts = append(parts, "✕ not a number")
	}
	return strings.Join(parts, ", ")
}

func (c *canvas) row(row int, color bool) string {
	var b strings.Builder
	current := 0
	for i := row * c.columns; i < (row+1)*c.columns; i++ {
		r, want := ' ', 0
		switch {
		case c.marks[i] != 0:
			r, want = c.marks[i], c.inks[i]
		case c.dots[i] != 0:
			r, want = 0x2800+rune(c.dots[i]), c.inks[i]
		}
		if color && want != current {
			if current != 0 {
				b.WriteString("\x1b[0m")
			}
			if want != 0 {
				b.WriteString(code(want - 1))
			}
			current = want
		}
		b.WriteRune(r)
	}
	if current != 0 {
		b.WriteString("\x1b[0m")
	}
	if !color {
		return strings.TrimRight(b.String(), " ")
	}
	return b.String()
}

// axis is the horizontal axis with its labels, two lines.
func (p *Panel) axis(c *canvas, margin int, px func(float64) int, xLabel string) []string {
	edge := []rune(strings.Repeat("─", c.columns))
	labels := []rune(strings.Repeat(" ", c.columns))
	free := 0 // column from which there is room
	room := c.columns - len(xLabel) - 1
	for _, t := range ticks(p.XMin, p.XMax, max(2, c.columns/10), p.XLog) {
		at := px(t.at) / 2
		if at < 0 || at >= c.columns {
			continue
		}
		edge[at] = '┬'
		start := min(max(0, at-len(t.label)/2), c.columns-len(t.label))
		if start < free || start+len(t.label) > room {
			continue
		}
		copy(labels[start:], []rune(t.label))
		free = start + len(t.label) + 1
	}
	if room > 0 {
		copy(labels[room+1:], []rune(xLabel))
	}
	pad := strings.Repeat(" ", margin+1)
	return []string{pad + "└" + string(edge), pad + " " + string(labels)}
}

// terminalInks are colours that are readable on dark and on light.
var terminalInks = []int{33, 208, 35, 162, 141, 37, 178, 124}

func code(i int) string { return fmt.Sprintf("\x1b[38;5;%dm", terminalInks[i%len(terminalInks)]) }

func ink(s string, i int, color bool) string {
	if !color {
		return s
	}
	return code(i) + s + "\x1b[0m"
}

func clip(s string, columns int) string {
	r := []rune(s)
	if len(r) <= columns {
		return s
	}
	return string(r[:max(0, columns-1)]) + "…"
}

// clipMiddle cuts a name in the middle.
func clipMiddle(s string, columns int) string {
	r := []rune(s)
	if len(r) <= columns {
		return s
	}
	start := columns / 2
	end := max(columns-start-1, 0)
	return string(r[:start]) + "…" + string(r[len(r)-end:])
}

// visible is how many columns a line takes, whose colours take none.
func visible(s string) int {
	n, escape := 0, false
	for _, r := range s {
		switch {
		case r == '\x1b':
			escape = true
		case escape:
			escape = r != 'm'
		default:
			n++
		}
	}
	return n
}
