package chart

import (
	"errors"
	"fmt"
	"image/color"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"

	xfont "golang.org/x/image/font"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// ErrEmpty says that there is nothing to draw.
var ErrEmpty = errors.New("there is nothing to draw yet: no metrics have been written; bitnet status says when they come")

// Format checks the name of an image and gives its format, png or svg.
func Format(path string) (string, error) {
	switch ext := strings.ToLower(filepath.Ext(path)); ext {
	case ".png", ".svg":
		return ext[1:], nil
	default:
		return "", fmt.Errorf("-o %s: end the name in .png or .svg", path)
	}
}

const (
	width    = 11 * vg.Inch
	dpi      = 150
	gap      = 0.25 * vg.Inch
	keyRow   = 0.22 * vg.Inch // of a run in the legend
	border   = 0.15 * vg.Inch
	titleRow = 0.24 * vg.Inch // of a panel
)

// Write draws the curves of runs as an image: the loss on top, the others two in a
// row.
func Write(w io.Writer, format string, sources []Source, o Options) error {
	panels, xLabel := Panels(sources, o)
	return write(w, format, namesOf(sources), panels, xLabel)
}

// WriteResponses draws panels of Responses as an image; names are of their curves.
func WriteResponses(w io.Writer, format string, names []string, panels []Panel) error {
	return write(w, format, names, panels, "")
}

// namesOf are the names of runs, for a legend.
func namesOf(sources []Source) []string {
	names := make([]string, len(sources))
	for i, s := range sources {
		names[i] = s.Name
	}
	return names
}

func write(w io.Writer, format string, names []string, panels []Panel, xLabel string) error {
	if len(panels) == 0 {
		return ErrEmpty
	}
	const top, row = 3.6 * vg.Inch, 2.3 * vg.Inch
	keyRows := (len(names) + 1) / 2
	key := vg.Length(keyRows)*keyRow + 0.12*vg.Inch
	rows := len(panels) / 2 // of those below the first
	height := border + key + top + vg.Length(rows)*(row+gap) + border

	var target interface {
		vg.CanvasSizer
		io.WriterTo
	}
	switch format {
	case "png":
		target = vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(dpi), vgimg.UseBackgroundColor(color.White))}
	case "svg":
		target = vgsvg.New(width, height)
	default:
		return fmt.Errorf("there is no format %q: use png or svg", format)
	}
	page := draw.New(target)
	page.SetColor(color.White)
	page.Fill(page.Rectangle.Path())
	page = draw.Crop(page, border, -border, border, -border)
	legend(page, names)
	y := page.Max.Y - key
	at := func(left, right, top, bottom vg.Length) draw.Canvas {
		return draw.Canvas{Canvas: page.Canvas, Rectangle: vg.Rectangle{Min: vg.Point{X: left, Y: bottom}, Max: vg.Point{X: right, Y: top}}}
	}
	plots := make([]*plot.Plot, len(panels))
	for i := range panels {
		var err error
		if plots[i], err = panels[i].plot(xLabel, i == 0); err != nil {
			return err
		}
	}
	show := func(i int, c, inner draw.Canvas) {
		plots[i].Draw(inner)
		panels[i].head(c)
	}
	under := func(c draw.Canvas) draw.Canvas { return draw.Crop(c, 0, 0, 0, -titleRow) }
	first := at(page.Min.X, page.Max.X, y, y-top)
	show(0, first, under(first))
	y -= top + gap
	for i := 1; i < len(plots); i += 2 {
		whole := at(page.Min.X, page.Max.X, y, y-row)
		if i+1 == len(plots) {
			show(i, whole, under(whole))
			break
		}
		pair := plot.Align([][]*plot.Plot{{plots[i], plots[i+1]}}, draw.Tiles{Rows: 1, Cols: 2, PadX: gap}, under(whole))
		middle := (page.Min.X + page.Max.X) / 2
		show(i, at(page.Min.X, middle-gap/2, y, y-row), pair[0][0])
		show(i+1, at(middle+gap/2, page.Max.X, y, y-row), pair[0][1])
		y -= row + gap
	}
	_, err := target.WriteTo(w)
	return err
}

// colors are those of Okabe and Ito, which people who see colours differently
// can tell apart.
var colors = []color.RGBA{
	{0, 114, 178, 255}, {213, 94, 0, 255}, {0, 158, 115, 255}, {204, 121, 167, 255},
	{86, 180, 233, 255}, {230, 159, 0, 255}, {90, 90, 90, 255},
}

// dots is the line between measurements that are far apart.
var dots = []vg.Length{vg.Points(2), vg.Points(2)}

// dashes tell runs apart that have the same colour.
var dashes = [][]vg.Length{nil, {vg.Points(6), vg.Points(3)}, {vg.Points(2), vg.Points(2)}}

func lineStyle(run int) draw.LineStyle {
	return draw.LineStyle{Color: colors[run%len(colors)], Width: vg.Points(1.3), Dashes: dashes[run/len(colors)%len(dashes)]}
}

// style is how a curve is drawn: in the run's colour, or in one of its own where
// a panel has several of a run.
func (p *Panel) style(c Curve) draw.LineStyle {
	s := lineStyle(c.Run)
	if c.Label != "" && c.Style == Line {
		s = lineStyle(c.Shade)
	}
	return s
}

// faint is a colour that lets through what lies behind.
func faint(c color.Color, alpha float64) color.Color {
	r, g, b, _ := c.RGBA()
	return color.NRGBA{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8), uint8(255 * alpha)}
}

func textStyle(size float64) draw.TextStyle {
	f := plot.DefaultFont
	f.Typeface, f.Variant, f.Size = "Liberation", "Sans", vg.Points(size)
	return draw.TextStyle{Color: color.RGBA{40, 40, 40, 255}, Font: f, Handler: plot.DefaultTextHandler}
}

// plot makes gonum's plot of a panel.
func (p *Panel) plot(xLabel string, large bool) (*plot.Plot, error) {
	out := plot.New()
	grey := color.RGBA{150, 150, 150, 255}
	for _, a := range []*plot.Axis{&out.X, &out.Y} {
		a.Tick.Label = mergeStyle(a.Tick.Label, textStyle(8.5))
		a.Label.TextStyle = mergeStyle(a.Label.TextStyle, textStyle(8.5))
		a.LineStyle.Color, a.Tick.LineStyle.Color = grey, grey
		a.Tick.Length = vg.Points(3)
		a.Padding = 0
	}
	out.X.Label.Text = p.axisLabel(xLabel)
	nx, ny := 6, 5
	if large {
		nx, ny = 10, 7
	}
	out.X.Tick.Marker = marker{nx, p.XLog}
	if p.XLog {
		out.X.Scale = plot.LogScale{}
	}
	out.Y.Tick.Marker = marker{ny, p.Log}
	if p.Log {
		out.Y.Scale = plot.LogScale{}
	}
	grid := plotter.NewGrid()
	grid.Horizontal.Color, grid.Vertical.Color = color.RGBA{230, 230, 230, 255}, color.RGBA{240, 240, 240, 255}
	out.Add(grid)
	for _, c := range p.Curves {
		if c.Low != nil {
			if err := band(out, p, c); err != nil {
				return nil, err
			}
		}
	}
	for _, c := range p.Curves {
		if err := add(out, p, c); err != nil {
			return nil, err
		}
	}
	out.X.Min, out.X.Max, out.Y.Min, out.Y.Max = p.XMin, p.XMax, p.YMin, p.YMax
	return out, nil
}

// mergeStyle keeps how a text is aligned and turned.
func mergeStyle(old, s draw.TextStyle) draw.TextStyle {
	s.Rotation, s.XAlign, s.YAlign = old.Rotation, old.XAlign, old.YAlign
	return s
}

type marker struct {
	n   int
	log bool
}

func (m marker) Ticks(low, high float64) []plot.Tick {
	var out []plot.Tick
	for _, t := range ticks(low, high, m.n, m.log) {
		out = append(out, plot.Tick{Value: t.at, Label: t.label})
	}
	return out
}

// band fills the range of values that the points of a curve stand for, with
// thin edges so that a spike of one point is seen.
func band(out *plot.Plot, p *Panel, c Curve) error {
	fill, edge := faint(p.style(c).Color, 0.25), draw.LineStyle{Color: faint(p.style(c).Color, 0.5), Width: vg.Points(0.5)}
	for _, part := range pieces(c) {
		var high, low plotter.XYs
		for i := part[0]; i < part[1]; i++ {
			high = append(high, plotter.XY{X: c.X[i], Y: c.High[i]})
			low = append(low, plotter.XY{X: c.X[i], Y: c.Low[i]})
		}
		for _, xys := range []plotter.XYs{high, low} {
			l, err := plotter.NewLine(xys)
			if err != nil {
				return err
			}
			l.LineStyle = edge
			out.Add(l)
		}
		ring := slices.Clone(high)
		for _, xy := range slices.Backward(low) {
			ring = append(ring, xy)
		}
		poly, err := plotter.NewPolygon(ring)
		if err != nil {
			return err
		}
		poly.Color, poly.LineStyle.Width = fill, 0
		out.Add(poly)
	}
	return nil
}

// pieces are the stretches of a curve, cut into short ones that share their
// ends: the time to draw a line grows with the square of its points.
func pieces(c Curve) [][2]int {
	const most = 40
	var out [][2]int
	for _, s := range stretches(c) {
		for s[1]-s[0] > most {
			out = append(out, [2]int{s[0], s[0] + most})
			s[0] += most - 1
		}
		out = append(out, s)
	}
	return out
}

// stretches are the parts of a curve without gaps, as [from, to).
func stretches(c Curve) [][2]int {
	var out [][2]int
	from := -1
	for i := range c.X {
		known := !math.IsNaN(c.Y[i])
		if known && from < 0 {
			from = i
		}
		if !known && from >= 0 {
			out, from = append(out, [2]int{from, i}), -1
		}
	}
	if from >= 0 {
		out = append(out, [2]int{from, len(c.X)})
	}
	return out
}

func add(out *plot.Plot, p *Panel, c Curve) error {
	style := p.style(c)
	switch c.Style {
	case Faint:
		style.Color, style.Width = faint(style.Color, 0.3), vg.Points(0.8)
	case Dots:
		style.Dashes = dots
		style.Width = vg.Points(1)
	}
	for _, part := range pieces(c) {
		xys := make(plotter.XYs, 0, part[1]-part[0])
		for i := part[0]; i < part[1]; i++ {
			xys = append(xys, plotter.XY{X: c.X[i], Y: c.Y[i]})
		}
		if c.Style != Points {
			l, err := plotter.NewLine(xys)
			if err != nil {
				return err
			}
			l.LineStyle = style
			out.Add(l)
		}
		if c.Style == Dots || c.Style == Points || len(xys) == 1 {
			points, err := plotter.NewScatter(xys)
			if err != nil {
				return err
			}
			points.GlyphStyle = draw.GlyphStyle{Color: style.Color, Radius: vg.Points(2.2), Shape: draw.CircleGlyph{}}
			out.Add(points)
		}
	}
	var xys plotter.XYs
	for _, x := range c.NotFinite {
		xys = append(xys, plotter.XY{X: x, Y: p.YMax})
	}
	if len(xys) > 0 {
		crosses, err := plotter.NewScatter(xys)
		if err != nil {
			return err
		}
		crosses.GlyphStyle = notFiniteGlyph
		out.Add(crosses)
	}
	return nil
}

var notFiniteGlyph = draw.GlyphStyle{Color: color.RGBA{200, 0, 0, 255}, Radius: vg.Points(3.5), Shape: draw.CrossGlyph{}}

// legend names the runs above the panels.
func legend(page draw.Canvas, names []string) {
	style := textStyle(9.5)
	style.YAlign = draw.YCenter
	column := (page.Max.X - page.Min.X) / 2
	for i, name := range names {
		x, y := page.Min.X+vg.Length(i%2)*column, page.Max.Y-0.1*vg.Inch-vg.Length(i/2)*keyRow
		page.StrokeLine2(lineStyle(i), x, y, x+0.35*vg.Inch, y)
		page.FillText(style, vg.Point{X: x + 0.42*vg.Inch, Y: y}, shorten(style, name, column-0.6*vg.Inch))
	}
}

// head writes a panel's title above it at the left, and at the right what its
// marks mean: there no curve is.
func (p *Panel) head(c draw.Canvas) {
	title := p.Title
	if p.Log {
		title += ", logarithmic"
	}
	bold := textStyle(10)
	bold.Font.Weight = xfont.WeightBold
	bold.YAlign = draw.YCenter
	c.FillText(bold, vg.Point{X: c.Min.X, Y: c.Max.Y - titleRow/3}, title)
	style := textStyle(8.5)
	style.YAlign = draw.YCenter
	const mark, space = 0.25 * vg.Inch, 0.06 * vg.Inch
	x, y := c.Max.X, c.Max.Y-titleRow/3
	write := func(label string, draw func(x vg.Length)) {
		x -= style.Width(label)
		c.FillText(style, vg.Point{X: x, Y: y}, label)
		x -= space + mark
		draw(x)
		x -= 2 * space
	}
	grey := color.RGBA{110, 110, 110, 255}
	for _, k := range p.Curves {
		if len(k.NotFinite) > 0 {
			write("not a number", func(x vg.Length) { c.DrawGlyph(notFiniteGlyph, vg.Point{X: x + mark/2, Y: y}) })
			break
		}
	}
	seen := map[string]bool{"": true}
	for i := len(p.Curves) - 1; i >= 0; i-- {
		k := p.Curves[i]
		if seen[k.Label] {
			continue
		}
		seen[k.Label] = true
		write(k.Label, func(x vg.Length) {
			s := p.style(k)
			if k.Style == Dots {
				s.Color, s.Dashes, s.Width = grey, dots, vg.Points(1)
				c.DrawGlyph(draw.GlyphStyle{Color: grey, Radius: vg.Points(2.2), Shape: draw.CircleGlyph{}}, vg.Point{X: x + mark/2, Y: y})
			}
			c.StrokeLine2(s, x, y, x+mark, y)
		})
	}
	for _, k := range p.Curves {
		if k.Low != nil {
			label := "lowest to highest"
			if k.Parts {
				label = "range of projections"
			}
			write(label, func(x vg.Length) {
				c.FillPolygon(faint(grey, 0.4), []vg.Point{{X: x, Y: y - 3}, {X: x + mark, Y: y - 3}, {X: x + mark, Y: y + 3}, {X: x, Y: y + 3}})
			})
			break
		}
	}
}

// shorten cuts a name in the middle to fit a width: names of runs differ at
// their ends.
func shorten(style draw.TextStyle, s string, width vg.Length) string {
	for columns := len([]rune(s)); style.Width(s) > width && columns > 1; columns-- {
		s = clipMiddle(s, columns)
	}
	return s
}
