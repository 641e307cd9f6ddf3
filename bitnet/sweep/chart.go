package sweep

import (
	"bytes"
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"strings"

	"bitnet/bitnet/runs/chart"
	"bitnet/data/atomicfile"
	"bitnet/data/printable"
)

// mostNames is how many curves a chart tells apart.
const mostNames = 14

// Chart draws the results: a panel for each setting that is a number, over which
// the results of all settings are shown, in a curve for each combination of the
// other settings. panels is empty where no setting has two numbers with results.
func (s *Sweep) Chart(rows []Row) (names []string, panels []chart.Panel) {
	keys := s.keys()
	var numbers []string
	for _, k := range keys {
		if s.isNumber(k) {
			numbers = append(numbers, k)
		}
	}
	main := s.widest(numbers)
	random := s.scattered(main)
	curve := func(r Row) string {
		if random {
			return "all settings"
		}
		return without(r.Set, main)
	}
	series := map[string]int{}
	for _, r := range rows {
		if name := curve(r); len(series) < mostNames && series[name] == 0 {
			series[name] = len(series) + 1
			names = append(names, printable.String(name))
		}
	}
	for _, k := range numbers {
		var list []chart.Measured
		for _, r := range rows {
			run := series[curve(r)] - 1
			x, err := strconv.ParseFloat(valueOf(r.Set, k), 64)
			if run < 0 || err != nil || r.Stopped != "" || math.IsNaN(float64(r.Value)) {
				continue
			}
			list = append(list, chart.Measured{Run: run, X: x, Y: float64(r.Value), Low: float64(r.Lowest), High: float64(r.Highest), Joins: k == main && !random})
		}
		if p := chart.Responses(s.Plan.By, k, list); p != nil {
			panels = append(panels, *p)
		}
	}
	return names, panels
}

// WriteChart stores sweep.svg, if there is something to draw.
func (s *Sweep) WriteChart(rows []Row) (path string, err error) {
	names, panels := s.Chart(rows)
	if len(panels) == 0 {
		return "", nil
	}
	var image bytes.Buffer
	if err := chart.WriteResponses(&image, "svg", names, panels); err != nil {
		return "", fmt.Errorf("drawing the results: %w", err)
	}
	path = filepath.Join(s.Dir, "sweep.svg")
	if err := atomicfile.Write(path, image.Bytes()); err != nil {
		return "", fmt.Errorf("writing the chart: %w", err)
	}
	return path, nil
}

// keys are what the settings change, in the order of the plan.
func (s *Sweep) keys() []string {
	var keys []string
	for _, a := range s.Plan.Trials[0].Set {
		key, _, _ := strings.Cut(a, "=")
		keys = append(keys, key)
	}
	return keys
}

// values are the different values of a key.
func (s *Sweep) values(key string) map[string]bool {
	found := map[string]bool{}
	for _, t := range s.Plan.Trials {
		found[valueOf(t.Set, key)] = true
	}
	return found
}

func (s *Sweep) isNumber(key string) bool {
	values := s.values(key)
	for v := range values {
		if _, err := strconv.ParseFloat(v, 64); err != nil {
			return false
		}
	}
	return len(values) > 1
}

// widest is the key with the most values, "" for none.
func (s *Sweep) widest(keys []string) string {
	best, most := "", 0
	for _, k := range keys {
		if n := len(s.values(k)); n > most {
			best, most = k, n
		}
	}
	return best
}

// scattered reports whether the values of a key are drawn at random: hardly one
// is there twice, though other settings change, too.
func (s *Sweep) scattered(key string) bool {
	points := map[string]bool{}
	for _, t := range s.Plan.Trials {
		points[t.Name()] = true
	}
	return len(s.keys()) > 1 && len(s.values(key)) > len(points)*2/3
}

// valueOf is the value of a key in a list of key=value.
func valueOf(set []string, key string) string {
	for _, a := range set {
		if k, v, _ := strings.Cut(a, "="); k == key {
			return v
		}
	}
	return ""
}

// without names the settings except one key.
func without(set []string, key string) string {
	var rest []string
	for _, a := range set {
		if k, _, _ := strings.Cut(a, "="); k != key {
			rest = append(rest, a)
		}
	}
	if len(rest) == 0 {
		return "all settings"
	}
	return strings.Join(rest, " ")
}
