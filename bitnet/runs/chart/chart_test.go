package chart

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/plot/vg"

	"bitnet/bitnet/runs"
)

// source is a run whose loss falls, with a spike, a NaN and evaluations.
func source(name string, steps int) Source {
	c := runs.NewCurves(400)
	for i := 1; i <= steps; i++ {
		loss := fmt.Sprint(2 + 8/math.Sqrt(float64(i)))
		switch i {
		case steps / 2:
			loss = "500"
		case steps / 3:
			loss = "null"
		}
		c.Add(fmt.Appendf(nil, `{"step":%d,"loss_mean":%s,"lr":%g,"grad_norm":%g,"tokens_per_sec":1000,"step_time_ms":2000,"tokens_seen":%d,"ternary":{"q":[0.3,0.4,0.3],"k":[0.2,0.6,0.2]}}`,
			i, loss, 1e-3*(1-float64(i)/float64(steps)), 1+1/float64(i), 512*i))
	}
	scores := []runs.Score{{Name: "exact match", Value: 0.5, Unit: runs.Share}, {Name: "exact match", Part: "+", Value: 0.25, Unit: runs.Share}, {Name: "exact match", Part: "+, 2 digits", Unit: runs.Share}}
	return Source{name, c, []runs.Eval{{Step: int64(steps / 2), Loss: 3, Scores: scores}, {Step: int64(steps), Loss: runs.Number(math.NaN()), Scores: scores}}}
}

func TestPanels(t *testing.T) {
	for _, row := range []struct {
		axis  runs.Axis
		label string
		end   float64
	}{{runs.BySteps, "step", 1000}, {runs.ByTokens, "tokens", 512000}, {runs.ByTime, "minutes of training", 2000. / 60}} {
		panels, label := Panels([]Source{source("a", 1000)}, Options{Axis: row.axis, Smooth: 0.9})
		require.Equal(t, row.label, label)
		require.Len(t, panels, 6)
		for _, p := range panels {
			require.Zero(t, p.XMin)
			require.InEpsilon(t, row.end, p.XMax, 0.01)
		}
		loss := panels[0]
		require.True(t, loss.Log)
		require.Greater(t, loss.YMax, 500.0)
		require.Equal(t, Faint, loss.Curves[0].Style)
		require.Len(t, loss.Curves[1].NotFinite, 1, "the NaN of the training loss")
		held := loss.Curves[2]
		require.Equal(t, "validation loss", held.Label)
		require.InEpsilon(t, row.end/2, held.X[0], 0.01)
		require.Len(t, held.NotFinite, 1)
	}
	panels, _ := Panels([]Source{{"empty", runs.NewCurves(10), nil}}, Options{Axis: runs.BySteps})
	require.Empty(t, panels)
}

func TestSmooth(t *testing.T) {
	x := []float64{1, 2, 3, 4, 5}
	nan := math.NaN()
	require.Equal(t, []float64{7, 7, 7, 7, 7}, smooth(x, []float64{7, 7, 7, 7, 7}, 0.9, 1))
	got := smooth(x, []float64{1, 2, nan, 4, 5}, 0.5, 1)
	require.True(t, math.IsNaN(got[2]))
	// Symmetric data stay so: the mean does not lag.
	require.InDelta(t, 6-got[0], got[4], 1e-12)
	require.InDelta(t, (1+0.5*2+0.125*4+0.0625*5)/(1+0.5+0.125+0.0625), got[0], 1e-12)
}

func TestImages(t *testing.T) {
	sources := []Source{source(`<script>alert("&")</script>`, 1000), source(strings.Repeat("long_name_", 20), 50)}
	for _, list := range [][]Source{sources[:1], sources, append(sources, source("c", 1), source("d", 2))} {
		for _, o := range []Options{{Axis: runs.BySteps}, {Axis: runs.ByTime, Smooth: 0.95}} {
			var image bytes.Buffer
			require.NoError(t, Write(&image, "png", list, o))
			pixels, err := png.Decode(&image)
			require.NoError(t, err)
			require.Greater(t, pixels.Bounds().Dx(), 1000)

			image.Reset()
			require.NoError(t, Write(&image, "svg", list, o))
			text := image.String()
			require.NotContains(t, text, "<script")
			d := xml.NewDecoder(&image)
			for {
				_, err := d.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				require.NoError(t, err)
			}
		}
	}
	require.ErrorIs(t, Write(io.Discard, "png", []Source{{"empty", runs.NewCurves(10), nil}}, Options{}), ErrEmpty)
}

// Whatever a log holds, drawing it ends well.
func TestWildValues(t *testing.T) {
	values := []string{"1e-300", "1e99", "-1e99", "1e101", "null", "0", "5"}
	for _, first := range values {
		for _, second := range values {
			c := runs.NewCurves(100)
			for i, v := range []string{first, second} {
				c.Add(fmt.Appendf(nil, `{"step":%d,"loss_mean":%s,"lr":%s,"grad_norm":%s,"tokens_per_sec":%s,"step_time_ms":%s,"tokens_seen":%s,"ternary":{"q":[%s,2,3]}}`, 10*i, v, v, v, v, v, v, v))
			}
			for _, axis := range []runs.Axis{runs.BySteps, runs.ByTokens, runs.ByTime} {
				sources, o := []Source{{"wild", c, nil}}, Options{Axis: axis, Smooth: 0.9}
				require.NotPanics(t, func() {
					require.NotEmpty(t, Terminal(sources, o, 80, false))
					if axis == runs.ByTokens { // one is enough of what takes long
						if err := Write(io.Discard, "svg", sources, o); err != nil {
							require.ErrorIs(t, err, ErrEmpty)
						}
					}
				}, "%s, %s over %s", first, second, axis)
			}
		}
	}
}

func TestTerminal(t *testing.T) {
	one, two := source("first", 1000), source("second", 500)
	for _, columns := range []int{10, 40, 79, 80, 120, 200} {
		for _, list := range [][]Source{{one}, {one, two}, {one, two, source("third", 1)}} {
			text := Terminal(list, Options{Axis: runs.BySteps}, columns, false)
			require.NotContains(t, text, "\x1b")
			require.Contains(t, text, "loss")
			require.Contains(t, text, "✕")
			for line := range strings.Lines(text) {
				require.LessOrEqual(t, len([]rune(strings.TrimSuffix(line, "\n"))), max(columns, 40), line)
			}
			colored := Terminal(list, Options{Axis: runs.BySteps}, columns, true)
			require.Contains(t, colored, "\x1b[38;5;")
			require.True(t, strings.Count(colored, "\x1b[0m") == strings.Count(colored, "\x1b[38"))
			for line := range strings.Lines(colored) {
				require.LessOrEqual(t, visible(strings.TrimSuffix(line, "\n")), max(columns, 40), line)
			}
		}
	}
	require.Contains(t, Terminal([]Source{{"empty", runs.NewCurves(10), nil}}, Options{}, 80, false), "nothing to draw")
}

func TestTicks(t *testing.T) {
	for _, row := range []struct {
		low, high float64
		n         int
		log       bool
		want      string
	}{
		{0, 10, 5, false, "0 2 4 6 8 10"},
		{0, 1500, 3, false, "0 500 1k 1.5k"},
		{0, 10e6, 5, false, "0 2M 4M 6M 8M 10M"},
		{0, 0.0015, 3, false, "0 0.0005 0.0010 0.0015"},
		{0, 0.00012, 3, false, "0 5e-5 1.0e-4"},
		{-0.4, 0.4, 4, false, "-0.4 -0.2 0 0.2 0.4"},
		{2.31, 2.35, 4, false, "2.31 2.32 2.33 2.34 2.35"},
		{0.9, 60, 7, true, "1 2 5 10 20 50"},
		{1e-6, 1e6, 4, true, "1e-6 0.001 1 1k 1M"},
		{3, 3, 4, false, ""},
		{math.Inf(-1), math.Inf(1), 4, false, ""},
	} {
		var got []string
		for _, x := range ticks(row.low, row.high, row.n, row.log) {
			got = append(got, x.label)
		}
		require.Equal(t, row.want, strings.Join(got, " "), row)
	}
}

func TestClipMiddle(t *testing.T) {
	for _, row := range []struct {
		s       string
		columns int
		want    string
	}{{"abcdef", 6, "abcdef"}, {"abcdefgh", 6, "abc…gh"}, {"abcdefgh", 5, "ab…gh"}, {"日本語です", 3, "日…す"}, {"abc", 1, "…"}, {"abc", 0, "…"}} {
		require.Equal(t, row.want, clipMiddle(row.s, row.columns), row)
	}
	style := textStyle(9)
	long := strings.Repeat("long_name_", 20) + "end"
	require.LessOrEqual(t, style.Width(shorten(style, long, 100)), vg.Length(100))
	require.True(t, strings.HasSuffix(shorten(style, long, 100), "end"))
}

func TestFormat(t *testing.T) {
	for name, want := range map[string]string{"a.png": "png", "x/B.SVG": "svg"} {
		got, err := Format(name)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	_, err := Format("a.jpg")
	require.ErrorContains(t, err, ".png or .svg")
}
