package main

import (
	"math"
	"slices"
	"strings"

	"bitnet/bitnet/runs"
	"bitnet/bitnet/runs/chart"
	"bitnet/data/printable"
)

// compareText is a table of how runs differ: the settings that are not the
// same, and their metrics at the last step that all have logged.
func compareText(list []*runs.Run, sources []chart.Source) string {
	rows := [][]string{{""}}
	infos := make([]runs.Info, len(list))
	last := int64(math.MaxInt64)
	keys := map[string]bool{}
	for i, r := range list {
		infos[i] = r.Info()
		rows[0] = append(rows[0], sources[i].Name)
		last = min(last, infos[i].Last.Step)
		for k := range infos[i].Config.Settings {
			keys[k] = true
		}
	}
	add := func(label string, value func(i int) string) {
		row := []string{label}
		for i := range list {
			row = append(row, value(i))
		}
		rows = append(rows, row)
	}
	add("state", func(i int) string { return string(infos[i].State) })
	add("parameters", func(i int) string { return count(float64(infos[i].Parameters)) })
	add("steps", func(i int) string { return thousands(infos[i].Step) })
	at := "at step " + thousands(last) + ": "
	for _, k := range runs.Keys() {
		if m := k.Metric(); m.Compare {
			add(at+m.Title, func(i int) string { return valueAt(sources[i].Curves, k, last) })
		}
	}
	add(runs.ValidationLoss+", best", func(i int) string {
		best := math.Inf(1)
		for _, e := range sources[i].Evals {
			if v := float64(e.Loss); v < best {
				best = v
			}
		}
		if math.IsInf(best, 1) {
			return "-"
		}
		return number(best)
	})
	if slices.ContainsFunc(sources, func(s chart.Source) bool { return !math.IsInf(bestBits(s), 1) }) {
		add(runs.BitsPerByte+", best", func(i int) string {
			if best := bestBits(sources[i]); !math.IsInf(best, 1) {
				return number(best)
			}
			return "-"
		})
	}
	sorted := make([]string, 0, len(keys))
	for k := range keys {
		sorted = append(sorted, k)
	}
	slices.Sort(sorted)
	for _, k := range sorted {
		first := infos[0].Config.Settings[k]
		if slices.ContainsFunc(infos, func(i runs.Info) bool { return i.Config.Settings[k] != first }) {
			add(printable.String(k), func(i int) string {
				v, ok := infos[i].Config.Settings[k]
				if !ok {
					return "-"
				}
				return cut(printable.String(strings.TrimSpace(v)), 40)
			})
		}
	}
	right := make([]int, len(list)) // all but the labels
	for i := range right {
		right[i] = i + 1
	}
	return table(rows, right...)
}

// bestBits is the lowest bits per byte of a run's evaluations, or infinity.
func bestBits(s chart.Source) float64 {
	best := math.Inf(1)
	for _, e := range s.Evals {
		for _, score := range e.Scores {
			if score.Name == runs.BitsPerByte && score.Value < best {
				best = score.Value
			}
		}
	}
	return best
}

// valueAt is the mean over the point that a step falls into.
func valueAt(c *runs.Curves, k runs.Key, step int64) string {
	x, s := c.X(runs.BySteps), c.Series(k)
	i, _ := slices.BinarySearch(x, float64(step))
	if i >= len(x) || math.IsNaN(s.Mean[i]) {
		return "-"
	}
	return k.Metric().Format.Text(s.Mean[i])
}
