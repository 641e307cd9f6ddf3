package report

import (
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"bitnet/graph/tune"
)

var update = flag.Bool("update", false, "write the table of cards into docs/performance.md")

const (
	cardsBegin = "<!-- cards: go test ./bitnet/bench/report -run Cards -update writes this table -->\n"
	cardsEnd   = "<!-- end of cards -->\n"
)

// The table of cards in docs/performance.md is made of testdata/reports/*.json.
func TestCards(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	files, err := filepath.Glob(filepath.Join(root, "testdata", "reports", "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	slices.Sort(files)
	var rows []string
	for _, file := range files {
		r, err := readReport(file)
		require.NoError(t, err)
		require.False(t, r.Finished.IsZero(), "%s is not finished", file)
		rows = append(rows, cardRows(r, filepath.Base(file))...)
	}
	table := "| adapter | backend | f32, GFLOP/s | read, GB/s | step | f32 | mixed | int8 | PyTorch | right | report |\n" +
		"|---|---|---|---|---|---|---|---|---|---|---|\n" + strings.Join(rows, "")
	page := filepath.Join(root, "docs", "performance.md")
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	before, rest, ok := strings.Cut(string(text), cardsBegin)
	require.True(t, ok, "docs/performance.md has no place for the table of cards")
	old, after, ok := strings.Cut(rest, cardsEnd)
	require.True(t, ok)
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(before+cardsBegin+table+cardsEnd+after), 0o644))
		return
	}
	require.Equal(t, table, old, "the table is not that of testdata/reports: run this test with -update")
}

// cardRows has a row for each backend that was measured.
func cardRows(r *Report, file string) (out []string) {
	var backends []string
	for _, p := range r.Parts {
		if (p.Peak != nil || len(p.Steps) > 0) && !slices.Contains(backends, p.Backend) {
			backends = append(backends, p.Backend)
		}
	}
	for _, b := range backends {
		cells := []string{strings.ReplaceAll(r.Device, "|", `\|`), b, "-", "-", "-", "-", "-", "-", "-", "", fmt.Sprintf("[%s](../testdata/reports/%s)", r.Started.Format("2006-01-02"), file)}
		if r.System.Busy() {
			cells[10] += ", busy"
		}
		base := ""
		wrong, checked := 0, 0
		for _, p := range r.Parts {
			if p.Torch != nil && p.Torch.Shape() == base {
				cells[8] = number(max(p.Torch.TokensPerSec, figure(cells[8])))
			}
			if p.Backend != b {
				continue
			}
			if p.Checks != nil {
				wrong, checked = wrong+p.Checks.Wrong(), checked+p.Checks.Ran
			}
			if p.Parity != nil && p.Parity.Steps == paritySteps {
				checked++
				if !p.Parity.Agrees() {
					wrong++
				}
			}
			if p.Peak != nil {
				for _, x := range p.Peak.Rates {
					switch x.Name {
					case tune.PeakFloat:
						cells[2] = number(x.Median)
					case tune.PeakRead:
						cells[3] = number(x.Median)
					}
				}
			}
			for _, s := range p.Steps {
				base = cmp.Or(base, s.Shape())
				if at := slices.Index(precisions(), s.Precision); at >= 0 && s.Shape() == base {
					cells[4], cells[5+at] = base, number(s.TokensPerSec)
				}
			}
		}
		cells[9] = fmt.Sprintf("%d of %d", checked-wrong, checked)
		out = append(out, "| "+strings.Join(cells, " | ")+" |\n")
	}
	return out
}

func figure(cell string) (v float64) {
	fmt.Sscanf(strings.ReplaceAll(cell, ",", ""), "%f", &v)
	return v
}

func TestCardRows(t *testing.T) {
	require.Equal(t, []string{
		"| A \\| card | dawn | 12,000 | - | baseline 16x256x2 | 10,000 | 20,000 | - | 16,000 | 91 of 91 | [2026-01-02](../testdata/reports/x.json) |\n",
	}, cardRows(wholeReport(), "x.json"))
}

// readReport reads report.json.
func readReport(path string) (*Report, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("reading a report: %w", err)
	}
	var stored struct {
		Bench  string  `json:"bench"`
		Result *Report `json:"result"`
	}
	switch err := json.Unmarshal(text, &stored); {
	case err != nil:
		return nil, fmt.Errorf("%s is not a report.json: it is not valid JSON of that form", path)
	case stored.Bench != "report" || stored.Result == nil:
		return nil, fmt.Errorf("%s is not the report.json of bitnet bench report", path)
	case stored.Result.Schema != Schema:
		return nil, fmt.Errorf("%s has version %d of the report's form, and this program reads version %d: make it again with this program", path, stored.Result.Schema, Schema)
	}
	return stored.Result, nil
}
