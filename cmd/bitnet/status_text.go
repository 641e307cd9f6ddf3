package main

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/width"

	"bitnet/bitnet/runs"
	"bitnet/data/printable"
)

// statusText is a run at a glance. columns is the width of the terminal, to
// which lines are cut; 0 means no limit.
func statusText(s *runs.Status, now time.Time, columns int, color bool) string {
	var b strings.Builder
	line := func(format string, args ...any) {
		b.WriteString(cut(fmt.Sprintf(format, args...), columns))
		b.WriteByte('\n')
	}
	rows := statusRows(s)
	labels := 0
	for _, r := range rows {
		labels = max(labels, min(cells(r.label), 24))
	}

	name := printable.String(s.Name)
	state := string(s.State)
	if columns > 0 {
		name = cut(name, max(12, columns-len(state)-4))
	}
	why := ""
	if s.Why != "" {
		why = cut(": "+s.Why, max(1, columns-cells(name)-len(state)-2)*min(columns, 1))
	}
	if color {
		state = paint(s.State)
	}
	fmt.Fprintf(&b, "%s  %s%s\n", name, state, why)
	line("%s", strings.Join(about(s, now), ", "))
	b.WriteByte('\n')

	if total := s.Config.Train.Steps; total > 0 {
		done := min(1, float64(s.Step)/float64(total))
		end := ""
		if s.Left > 0 && s.State == runs.Running {
			end = fmt.Sprintf("  %s left", brief(s.Left))
		}
		line("%s %5.1f%%  step %s of %s%s", bar(done, 30), 100*done, thousands(s.Step), thousands(total), end)
	} else {
		line("step %s", thousands(s.Step))
	}
	for _, r := range rows {
		label := cut(r.label, 24)
		line("%s%s  %s", label, strings.Repeat(" ", labels-cells(label)), r.text)
	}
	if len(s.Samples) > 0 {
		b.WriteByte('\n')
		line("samples of step %s", thousands(s.Samples[0].Step))
		for _, x := range s.Samples[:min(len(s.Samples), 8)] {
			line("  %s|%s", printable.String(x.Prompt), printable.String(x.Text))
		}
	}
	if len(s.Anomalies) > 0 {
		b.WriteByte('\n')
		line("anomalies: %s", countsText(s.AnomalyCount))
		for _, a := range s.Anomalies {
			done := ""
			if a.Action != "" && a.Action != runs.Warn {
				done = " -> " + string(a.Action)
			}
			line("  step %s  %s: %s%s", thousands(a.Step), printable.String(string(a.Kind)), printable.String(a.Message), printable.String(done))
			if a.Dump != "" {
				line("    see %s", printable.Shell(filepath.Join(s.Dir, a.Dump)))
			}
		}
	}
	if next := nextCommand(s); next != "" {
		b.WriteByte('\n')
		line("%s", next)
	}
	return b.String()
}

// statusRow is a line of status with a label.
type statusRow struct{ label, text string }

// statusRows are what is known of a run's metrics, evaluation and checkpoint.
// What there is to say of metrics comes from their table.
func statusRows(s *runs.Status) []statusRow {
	var rows []statusRow
	add := func(label, text string) { rows = append(rows, statusRow{label, text}) }
	if !s.Logged {
		add("metrics", "none yet"+firstLine(s))
	}
	at := map[string]int{}
	for _, k := range runs.Keys() {
		m := k.Metric()
		values := &s.Last
		if m.Status.Median {
			values = &s.Medians
		}
		if m.Status.Label == "" || !values.Has(k) {
			continue
		}
		text := fmt.Sprintf(m.Status.Text, m.Format.Text(values.Get(k)))
		if k == runs.LossMean {
			text += trendText(s.Trend)
		}
		if i, ok := at[m.Status.Label]; ok {
			rows[i].text += ", " + text
			continue
		}
		at[m.Status.Label] = len(rows)
		add(m.Status.Label, text)
		if k == runs.LossMean && s.Eval != nil {
			rows = append(rows, evalRows(s.Eval, s.Best)...)
		}
	}
	if !s.Last.Has(runs.LossMean) && s.Eval != nil {
		rows = append(rows, evalRows(s.Eval, s.Best)...)
	}
	if s.Left >= time.Second && s.State != runs.Running {
		add("left", brief(s.Left)+" of training")
	}
	if text := ternaryText(s.Ternary); text != "" {
		add("weights", text)
	}
	if w := s.Swarm; w != nil {
		add("swarm", swarmText(w))
	}
	if s.CheckpointStep >= 0 {
		add("checkpoint", "step "+thousands(s.CheckpointStep))
	}
	return rows
}

// firstLine says when a run that is being trained will have metrics.
func firstLine(s *runs.Status) string {
	at := s.Config.Train.Steps
	if every := s.Config.Output.LogInterval; every > 0 {
		at = min(at, (s.Step/every+1)*every)
	}
	if s.Step == 0 {
		at = 1 // whatever the interval
	}
	if s.State != runs.Running || at <= s.Step {
		return ""
	}
	return fmt.Sprintf(": the first come at step %s", thousands(at))
}

// about says what a run is: experiment, size, device, age.
func about(s *runs.Status, now time.Time) []string {
	var parts []string
	if s.Config.Name != "" {
		parts = append(parts, printable.String(s.Config.Name))
	}
	if s.Parameters > 0 {
		parts = append(parts, count(float64(s.Parameters))+" parameters")
	}
	if s.Device != "" {
		parts = append(parts, "on "+printable.String(s.Device))
	}
	if !s.Started.IsZero() {
		parts = append(parts, "started "+brief(now.Sub(s.Started))+" ago")
	}
	if len(parts) == 0 {
		parts = append(parts, "config.yaml and provenance.json are missing: nothing else is known about it")
	}
	return parts
}

// nextCommand is the command to continue with.
func nextCommand(s *runs.Status) string {
	dir := printable.Shell(s.Dir)
	switch s.State {
	case runs.Running, runs.Unknown:
		return ""
	case runs.Finished:
		return "next: bitnet eval " + dir
	case runs.Diverged:
		if s.Checkpoint != "" {
			return "resume from step " + thousands(s.CheckpointStep) + " with a lower rate: bitnet train --resume " + dir + " --lr " + number(s.Config.Train.LearningRate/2)
		}
	}
	if s.Checkpoint == "" {
		return "it has no checkpoint to resume from: start it again"
	}
	return "resume from step " + thousands(s.CheckpointStep) + ": bitnet train --resume " + dir
}

func trendText(t *runs.Trend) string {
	if t == nil {
		return ""
	}
	over := fmt.Sprintf("over the last %s steps", thousands(t.ToStep-t.FromStep))
	switch {
	case !t.Clear:
		return ", level " + over
	case t.Change() < 0:
		return fmt.Sprintf(", falling by %s %s", number(-t.Change()), over)
	}
	return fmt.Sprintf(", rising by %s %s", number(t.Change()), over)
}

// evalRows are the scores of an evaluation, a row each, with those of the parts
// where they are few.
func evalRows(e, best *runs.Eval) []statusRow {
	var rows []statusRow
	for _, s := range e.All() {
		if s.Part != "" {
			continue
		}
		text := printable.String(s.String())
		if s.Name == runs.ValidationLoss {
			text = fmt.Sprintf("%s at step %s, perplexity %s", number(float64(e.Loss)), thousands(e.Step), number(float64(e.Perplexity)))
			if best != nil && best.Step != e.Step {
				text += fmt.Sprintf(" (best %s at step %s)", number(float64(best.Loss)), thousands(best.Step))
			}
		}
		var parts []string
		for _, p := range e.Parts(s.Name) {
			parts = append(parts, printable.String(p.Part)+" "+p.Format().Text(p.Value))
		}
		if len(parts) > 0 {
			text += " (" + strings.Join(parts, ", ") + ")"
		}
		rows = append(rows, statusRow{printable.String(s.Name), text})
	}
	return rows
}

// ternaryText sums up the shares of all projections, and names those that have
// lost nearly all their weights.
func ternaryText(shares map[string][3]float64) string {
	if len(shares) == 0 {
		return ""
	}
	var mean [3]float64
	var dead []string
	for name, s := range shares {
		for i := range mean {
			mean[i] += s[i] / float64(len(shares))
		}
		if s[1] > 0.99 {
			dead = append(dead, name)
		}
	}
	text := fmt.Sprintf("-1 %.1f%%, 0 %.1f%%, +1 %.1f%%", 100*mean[0], 100*mean[1], 100*mean[2])
	if len(dead) > 0 {
		slices.Sort(dead)
		text += fmt.Sprintf("; nearly all zero: %s", printable.String(strings.Join(dead, ", ")))
	}
	return text
}

func countsText(kinds map[runs.AnomalyKind]int) string {
	var parts []string
	for kind, n := range kinds {
		parts = append(parts, fmt.Sprintf("%s %s", thousands(int64(n)), printable.String(string(kind))))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// listText is a table of runs.
func listText(list []runs.Info, now time.Time) string {
	rows := [][]string{{"RUN", "STATE", "STEP", "LOSS", "CHANGED", "DEVICE"}}
	for _, i := range list {
		step := thousands(i.Step)
		if i.Config.Train.Steps > 0 {
			step += " of " + thousands(i.Config.Train.Steps)
		}
		loss := "-"
		if i.Logged {
			loss = runs.LossMean.Metric().Format.Text(i.Last.Get(runs.LossMean))
		}
		rows = append(rows, []string{printable.String(i.Name), string(i.State), step, loss, brief(now.Sub(i.Changed)) + " ago", printable.String(i.Device)})
	}
	return table(rows, 2, 3)
}

// table aligns the cells of rows two spaces apart, the columns named to the
// right and the others to the left.
func table(rows [][]string, right ...int) string {
	widths := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, cell := range r {
			widths[i] = max(widths[i], cells(cell))
		}
	}
	var b strings.Builder
	for _, r := range rows {
		var line strings.Builder
		for i, cell := range r {
			pad := strings.Repeat(" ", widths[i]-cells(cell))
			if slices.Contains(right, i) {
				cell, pad = pad+cell, ""
			}
			line.WriteString(cell + pad + "  ")
		}
		b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
	}
	return b.String()
}

// paint colours a state.
func paint(s runs.Condition) string {
	code := map[runs.Condition]string{runs.Running: "32", runs.Finished: "32", runs.Crashed: "31", runs.Diverged: "31"}[s]
	if code == "" {
		code = "33"
	}
	return "\x1b[1;" + code + "m" + string(s) + "\x1b[0m"
}

// bar draws a share between 0 and 1.
func bar(share float64, columns int) string {
	n := int(math.Round(min(max(0, share), 1) * float64(columns)))
	return strings.Repeat("█", n) + strings.Repeat("░", columns-n)
}

// number has four digits that count, and no more digits than it needs.
func number(v float64) string { return runs.Plain.Text(v) }

// count is a number in thousands, millions, ...
func count(v float64) string { return runs.Short.Text(v) }

// thousands writes 1234567 as 1,234,567.
func thousands(n int64) string { return runs.Whole.Text(float64(n)) }

// brief is a duration in its two largest units.
func brief(d time.Duration) string {
	s := int64(max(0, d).Round(time.Second) / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%d s", s)
	case s < 3600:
		return fmt.Sprintf("%d min %02d s", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%d h %02d min", s/3600, s/60%60)
	}
	return fmt.Sprintf("%d d %02d h", s/86400, s/3600%24)
}

// cells is how many columns of a terminal a text takes.
func cells(s string) int {
	n := 0
	for _, r := range s {
		n += runeCells(r)
	}
	return n
}

func runeCells(r rune) int {
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return 2
	}
	return 1
}

// cut shortens a line without control characters to a terminal's width; 0 or
// less means no limit.
func cut(s string, columns int) string {
	if columns <= 0 || cells(s) <= columns {
		return s
	}
	n := 0
	for i, r := range s {
		if n += runeCells(r); n > columns-1 {
			return s[:i] + "…"
		}
	}
	return s
}
