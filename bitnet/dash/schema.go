package dash

import "bitnet/bitnet/runs"

// schema tells the page what metrics there are and how they are shown: it is
// the first event of a stream, so that no metric is named in the page itself.
type schema struct {
	Metrics []metric `json:"metrics"`
	Charts  []chart  `json:"charts"`
}

// metric is a row of the table of metrics.
type metric struct {
	Key    string      `json:"key"`
	Title  string      `json:"title"`
	Unit   string      `json:"unit,omitempty"`
	Format runs.Format `json:"format"`
	Card   bool        `json:"card,omitempty"`
	Device bool        `json:"device,omitempty"`
}

// chart is a panel of the page. Score names the score of evaluations that is
// drawn with it.
type chart struct {
	Title    string      `json:"title"`
	Unit     string      `json:"unit,omitempty"`
	Format   runs.Format `json:"format"`
	FromZero bool        `json:"from_zero,omitempty"`
	Smooth   bool        `json:"smooth,omitempty"`
	Score    string      `json:"score,omitempty"`
	Curves   []line      `json:"curves"`
}

// line is a metric in a chart; Spread is the one whose range is shaded.
type line struct {
	Key    string `json:"key"`
	Title  string `json:"title"`
	Spread string `json:"spread,omitempty"`
}

func newSchema() schema {
	var s schema
	for _, k := range runs.Keys() {
		m := k.Metric()
		s.Metrics = append(s.Metrics, metric{k.String(), m.Title, m.Unit, m.Format, m.Card, m.Device})
	}
	for _, c := range runs.Charts() {
		first := c.Keys[0].Metric()
		x := chart{Title: c.Title, Unit: first.Unit, Format: first.Format, FromZero: c.FromZero, Smooth: c.Smooth, Score: c.Score}
		for _, k := range c.Keys {
			l := line{Key: k.String(), Title: k.Metric().Title}
			if spread := k.Metric().Spread; spread != 0 {
				l.Spread = spread.String()
			}
			x.Curves = append(x.Curves, l)
		}
		s.Charts = append(s.Charts, x)
	}
	return s
}
