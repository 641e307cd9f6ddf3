package tensorboard

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"bitnet/bitnet/runs"
)

// Sink writes what a run logs as TensorBoard events. It implements runs.Sink.
type Sink struct {
	w      *writer
	step   int64 // of the last sample
	sample int   // how many samples of that step there were
}

// Open begins an event file in dir for the steps after a step. What earlier
// files there say of these steps is taken back.
func Open(dir string, step int64) (*Sink, error) {
	w, err := create(dir, step+1)
	if err != nil {
		return nil, err
	}
	return &Sink{w: w}, nil
}

// Metrics writes a line of metrics under the tags of their table.
func (s *Sink) Metrics(m *runs.Metrics) error {
	var values []scalar
	for _, k := range runs.Keys() {
		if !m.Has(k) {
			continue
		}
		row := k.Metric()
		v := m.Get(k)
		if row.Scale != 0 {
			v *= row.Scale
		}
		values = append(values, scalar{row.Tag, v})
	}
	shares := len(values)
	for name, share := range m.Ternary {
		name = strings.TrimSuffix(strings.TrimPrefix(name, "model."), ".weight")
		values = append(values, scalar{"zeros/" + name, share[1]})
	}
	slices.SortFunc(values[shares:], func(a, b scalar) int { return cmp.Compare(a.Tag, b.Tag) })
	return s.w.scalars(m.Step, values...)
}

// Eval writes the loss of an evaluation and its scores: a score of the name
// "exact match" under eval/exact_match, its part "+" under "eval/exact_match +".
func (s *Sink) Eval(e *runs.Eval) error {
	values := []scalar{{"eval/loss", float64(e.Loss)}, {"eval/perplexity", float64(e.Perplexity)}}
	for _, score := range e.Scores {
		tag := "eval/" + strings.ReplaceAll(score.Name, " ", "_")
		if score.Part != "" {
			tag += " " + score.Part
		}
		values = append(values, scalar{tag, score.Value})
	}
	return s.w.scalars(e.Step, values...)
}

// Sample writes a sample as text. Those of a step are numbered.
func (s *Sink) Sample(x *runs.Sample) error {
	if x.Step != s.step {
		s.step, s.sample = x.Step, 0
	}
	// As code, so that what a model writes is not Markdown.
	code := "    " + strings.ReplaceAll(x.Prompt+x.Text, "\n", "\n    ")
	err := s.w.Text(x.Step, fmt.Sprintf("samples/%d", s.sample), code)
	s.sample++
	return err
}

// Rewind takes back what was written of steps after a step.
func (s *Sink) Rewind(step int64) error {
	s.step, s.sample = 0, 0
	return s.w.Restart(step + 1)
}

// Close ends the event file.
func (s *Sink) Close() error { return s.w.Close() }
