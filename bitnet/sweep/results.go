package sweep

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"bitnet/bitnet/runs"
	"bitnet/bitnet/train"
	"bitnet/data/atomicfile"
)

// point is the trials of the same settings.
type point struct {
	set     []string
	entries []*entry
}

// entry is a trial and what is known of it.
type entry struct {
	trial  Trial
	config *train.Config
	ends   []int
	record record
}

// reached is the last step with an evaluation.
func (e *entry) reached() int {
	if n := len(e.record.evals); n > 0 {
		return int(e.record.evals[n-1].Step)
	}
	return 0
}

// points reads what is known of all trials.
func (s *Sweep) points() ([]*point, error) {
	var points []*point
	byName := map[string]*point{}
	for _, t := range s.Plan.Trials {
		c, err := s.Plan.Config(t)
		if err != nil {
			return nil, err
		}
		e := &entry{trial: t, config: c, ends: s.Plan.ends(c)}
		if e.record, err = s.read(t); err != nil {
			return nil, err
		}
		p := byName[t.Name()]
		if p == nil {
			p = &point{set: t.Set}
			byName[t.Name()] = p
			points = append(points, p)
		}
		p.entries = append(p.entries, e)
	}
	return points, nil
}

// survivors are the points that train on after a round: one in Halve, rounded up,
// of those that no trial of which was stopped.
func (p *Plan) survivors(points []*point, round int) []*point {
	keep := (len(points) + p.Halve - 1) / p.Halve
	var whole []*point
	for _, pt := range points {
		if r := p.row(pt, round); r.Stopped == "" {
			whole = append(whole, pt)
		}
	}
	slices.SortStableFunc(whole, func(a, b *point) int { return order(p.row(a, round), p.row(b, round)) })
	return whole[:min(keep, len(whole))]
}

// Row is the result of a point: of all trials with the same settings.
type Row struct {
	Set     []string    `json:"set"`
	Trials  []string    `json:"trials"`
	Steps   int         `json:"steps"`  // at which the value was measured; 0 for none yet
	Tokens  int64       `json:"tokens"` // that a trial had trained on by then
	Value   runs.Number `json:"value"`  // mean over seeds; NaN for none yet
	Lowest  runs.Number `json:"lowest"` // over seeds
	Highest runs.Number `json:"highest"`
	Better  runs.Better `json:"better,omitempty"`
	Format  runs.Format `json:"-"`
	Stopped string      `json:"stopped,omitempty"` // why it counts as bad
	Done    bool        `json:"done"`              // it trained all of its steps, or until early stopping
}

// row is the result of a point at the end of a round.
func (p *Plan) row(pt *point, round int) Row {
	first := pt.entries[0]
	r := Row{Set: pt.set, Value: runs.Number(math.NaN()), Done: round == p.Rounds-1}
	var values []float64
	for _, e := range pt.entries {
		r.Trials = append(r.Trials, e.trial.ID)
		if r.Stopped == "" {
			r.Stopped = e.record.Stopped
		}
		found := e.record.at(e.ends[round])
		if found == nil {
			continue
		}
		v, better, err := p.value(found)
		if err != nil {
			continue
		}
		values = append(values, v)
		r.Better = better
		for _, s := range found.All() {
			if s.Name == p.By && s.Part == "" {
				r.Format = s.Format()
			}
		}
	}
	if len(values) < len(pt.entries) {
		r.Done = false
		return r
	}
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	r.Value = runs.Number(sum / float64(len(values)))
	r.Lowest, r.Highest = runs.Number(slices.Min(values)), runs.Number(slices.Max(values))
	r.Steps = first.ends[round]
	r.Tokens = first.config.TokensBetween(0, int64(r.Steps))
	return r
}

// order puts the better of two rows of the same round first, and those without a
// value last.
func order(a, b Row) int {
	x, y := float64(a.Value), float64(b.Value)
	if a.Stopped != "" {
		x = math.NaN()
	}
	if b.Stopped != "" {
		y = math.NaN()
	}
	switch nx, ny := math.IsNaN(x), math.IsNaN(y); {
	case nx && ny:
		return 0
	case nx:
		return 1
	case ny:
		return -1
	case a.Better == runs.Higher:
		return cmp.Compare(y, x)
	}
	return cmp.Compare(x, y)
}

// Results ranks all settings: those that came further first, the better ones first
// among them.
func (s *Sweep) Results() ([]Row, error) {
	points, err := s.points()
	if err != nil {
		return nil, err
	}
	var rows []Row
	for _, pt := range points {
		r := s.Plan.row(pt, 0)
		for round := 1; round < s.Plan.Rounds; round++ {
			if next := s.Plan.row(pt, round); next.Steps > 0 {
				r = next
			}
		}
		rows = append(rows, r)
	}
	slices.SortStableFunc(rows, func(a, b Row) int {
		// A bad point or one without a value comes last, however far it came.
		if o := order(a, b); math.IsNaN(float64(a.Value)) || math.IsNaN(float64(b.Value)) || a.Stopped != "" || b.Stopped != "" {
			return o
		}
		if a.Done != b.Done {
			if a.Done {
				return -1
			}
			return 1
		}
		if a.Steps != b.Steps && s.Plan.Rounds > 1 {
			return cmp.Compare(b.Steps, a.Steps)
		}
		return order(a, b)
	})
	return rows, nil
}

// best is the first row, if it has a value.
func best(rows []Row) (Row, bool) {
	if len(rows) == 0 || math.IsNaN(float64(rows[0].Value)) || rows[0].Stopped != "" {
		return Row{}, false
	}
	return rows[0], true
}

// Write stores results.json, and best.yaml where there is a best.
func (s *Sweep) Write(rows []Row) error {
	text, err := json.MarshalIndent(struct {
		By   string `json:"by"`
		Rows []Row  `json:"rows"`
	}{s.Plan.By, rows}, "", "  ")
	if err != nil {
		return err
	}
	if err := atomicfile.Write(filepath.Join(s.Dir, "results.json"), append(text, '\n')); err != nil {
		return fmt.Errorf("writing the results: %w", err)
	}
	b, ok := best(rows)
	if !ok {
		return nil
	}
	c, err := s.Plan.settings(b.Set)
	if err != nil {
		return err
	}
	head := fmt.Sprintf("# The best of %d settings by %s: %s\n", len(rows), s.Plan.By, strings.Join(b.Set, " "))
	if err := atomicfile.Write(s.BestPath(), append([]byte(head), c.YAML()...)); err != nil {
		return fmt.Errorf("writing the best settings: %w", err)
	}
	return nil
}

// BestPath is the file with the configuration of the best settings.
func (s *Sweep) BestPath() string { return filepath.Join(s.Dir, "best.yaml") }

// Left counts the settings that are not finished and not stopped, of those that
// still take part; 0 says that the sweep is done.
func (s *Sweep) Left() (int, error) {
	points, err := s.points()
	if err != nil {
		return 0, err
	}
	for round := range s.Plan.Rounds {
		left := 0
		for _, pt := range points {
			if r := s.Plan.row(pt, round); r.Stopped == "" && r.Steps == 0 {
				left++
			}
		}
		if left > 0 {
			return left, nil
		}
		if round < s.Plan.Rounds-1 {
			points = s.Plan.survivors(points, round)
		}
	}
	return 0, nil
}
