package suite

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
	"unicode/utf8"
)

// Results are what a model reached in tasks.
type Results struct {
	Tasks      []TaskResult
	Model      string // its folder, or what the user calls it
	Parameters int64
	Device     string
	Context    int // tokens
	Limit      int // questions of each task; 0 for all
	Begun      time.Time
	Took       time.Duration
	Program    string // version of what measured
}

// TaskResult is what a model reached in a task.
type TaskResult struct {
	Task      Task
	Metrics   []Metric
	Questions int // that were asked
	Total     int // of the data
}

// filter is what lm-eval calls answers that are taken as they are.
const filter = "none"

// MarshalJSON gives the form of lm-eval's results files.
func (r *Results) MarshalJSON() ([]byte, error) {
	type object = map[string]any
	results, configs, versions, shots, higher, samples := object{}, object{}, object{}, object{}, object{}, object{}
	for _, t := range r.Tasks {
		name := t.Task.Name
		values := object{"name": name, "alias": name, "sample_len": t.Questions}
		better := map[string]bool{}
		for _, m := range t.Metrics {
			values[m.Name+","+filter] = number(m.Value)
			values[m.Name+"_stderr,"+filter] = number(m.StdErr)
			better[m.Name] = m.Higher
		}
		results[name], configs[name], versions[name] = values, t.Task.settings(), t.Task.Version
		shots[name], higher[name] = 0, better
		samples[name] = map[string]int{"original": t.Total, "effective": t.Questions}
	}
	var limit any
	if r.Limit > 0 {
		limit = r.Limit
	}
	return json.Marshal(struct {
		Results   object  `json:"results"`
		Subtasks  object  `json:"group_subtasks"`
		Configs   object  `json:"configs"`
		Versions  object  `json:"versions"`
		Shots     object  `json:"n-shot"`
		Higher    object  `json:"higher_is_better"`
		Samples   object  `json:"n-samples"`
		Config    object  `json:"config"`
		Date      float64 `json:"date"`
		Source    string  `json:"model_source"`
		Name      string  `json:"model_name"`
		MaxLength int     `json:"max_length"`
		Seconds   string  `json:"total_evaluation_time_seconds"`
		Program   string  `json:"bitnet_version,omitempty"`
	}{
		results, object{}, configs, versions, shots, higher, samples,
		object{
			"model": "bitnet", "model_args": map[string]string{"pretrained": r.Model}, "model_num_parameters": r.Parameters,
			"device": r.Device, "limit": limit, "bootstrap_iters": bootstrapRounds,
		},
		float64(r.Begun.UnixMilli()) / 1000, "bitnet", r.Model, r.Context, fmt.Sprint(r.Took.Seconds()), r.Program,
	})
}

// number is a value of lm-eval's JSON: what is unknown is "N/A".
func number(v float64) any {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "N/A"
	}
	return v
}

// settings are a task's in the words of lm-eval.
func (t Task) settings() map[string]any {
	kind := "multiple_choice"
	if t.greedy {
		kind = "loglikelihood"
	}
	s := map[string]any{
		"task": t.Name, "dataset_path": t.repo, t.split + "_split": t.split, "output_type": kind,
		"target_delimiter": " ", "num_fewshot": 0, "metadata": map[string]any{"version": t.Version},
	}
	if t.config != "" {
		s["dataset_name"] = t.config
	}
	return s
}

// Table writes the results as lm-eval's table.
func (r *Results) Table(w io.Writer) error {
	rows := [][]string{{"Tasks", "Version", "Filter", "n-shot", "Metric", "", "Value", "", "Stderr"}}
	for _, t := range r.Tasks {
		name, version := t.Task.Name, fmt.Sprint(t.Task.Version)
		for _, m := range t.Metrics {
			arrow, stderr := "↓", "N/A"
			if m.Higher {
				arrow = "↑"
			}
			if !math.IsNaN(m.StdErr) && !math.IsInf(m.StdErr, 0) {
				stderr = fmt.Sprintf("%.4f", m.StdErr)
			}
			rows = append(rows, []string{name, version, filter, "0", m.Name, arrow, fmt.Sprintf("%.4f", m.Value), "±", stderr})
			name, version = "", ""
		}
	}
	right := []bool{1: true, 3: true, 6: true, 8: true}
	widths := make([]int, len(rows[0]))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	for n, row := range rows {
		for i, cell := range row {
			space := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if right[i] {
				b.WriteString("|" + space + cell)
			} else {
				b.WriteString("|" + cell + space)
			}
		}
		b.WriteString("|\n")
		if n > 0 {
			continue
		}
		for i, width := range widths { // a colon ends the line of a column of numbers
			line := strings.Repeat("-", width)
			if right[i] {
				line = line[1:] + ":"
			}
			b.WriteString("|" + line)
		}
		b.WriteString("|\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
