package suite

import (
	"fmt"
	"slices"
	"strings"

	"bitnet/bitnet/suggest"
)

// Task is one test set and the rules for it.
type Task struct {
	Name    string  // in lm-eval
	About   string  // for help texts
	Version float64 // of its rules, in lm-eval

	repo   string   // of the data set on the hub
	config string   // of the data set, "" for its only one
	split  string   // that is measured
	files  []string // names of the data's files where the split does not tell them, likeliest first

	columns []string
	read    func(row []byte) (question, error)
	greedy  bool // the continuation is to be what the model itself would write
}

// question is a document of a test set as text: which of the continuations is the
// likeliest after the context?
type question struct {
	Context       string   `json:"context"`
	Continuations []string `json:"continuations"`
	// Lengths are the characters (code points) of the choices, without the space
	// before them, that acc_norm divides by.
	Lengths []int `json:"lengths,omitempty"`
	Gold    int   `json:"gold"` // the right continuation
}

// metrics are the names of a task's metrics in the order of lm-eval.
func (t Task) metrics() []string {
	if t.greedy {
		return []string{"perplexity", "acc"}
	}
	return []string{"acc", "acc_norm"}
}

// Core is the name of the suite of all tasks.
const Core = "core"

// Tasks lists all tasks in the order of help texts.
func Tasks() []Task {
	arc := Task{
		Version: 1, repo: "allenai/ai2_arc", split: "test",
		columns: []string{"question", "choices", "answerKey"}, read: readARC,
	}
	easy, challenge := arc, arc
	easy.Name, easy.config, easy.About = "arc_easy", "ARC-Easy", "questions of science at school, 2,376"
	challenge.Name, challenge.config, challenge.About = "arc_challenge", "ARC-Challenge", "the harder ones, 1,172"
	return []Task{
		{
			Name: "hellaswag", About: "how a text about a daily activity continues, 10,042 questions",
			Version: 1, repo: "Rowan/hellaswag", split: "validation", files: []string{"data/hellaswag_val.jsonl"},
			columns: []string{"activity_label", "ctx_a", "ctx_b", "endings", "label"}, read: readHellaSwag,
		},
		{
			Name: "piqa", About: "which of two ways reaches a physical goal, 1,838",
			Version: 1, repo: "baber/piqa", split: "validation",
			columns: []string{"goal", "sol1", "sol2", "label"}, read: readPIQA,
		},
		easy, challenge,
		{
			Name: "lambada_openai", About: "the last word of a passage, 5,153 (also: lambada)",
			Version: 1, repo: "EleutherAI/lambada_openai", config: "default", split: "test",
			files:   []string{"data/lambada_test.jsonl", "data/lambada_test_en.jsonl"},
			columns: []string{"text"}, read: readLAMBADA, greedy: true,
		},
	}
}

// Find gives the tasks that a list of names, with commas between them, asks for:
// Core or names of tasks, each once and in the order of the list.
func Find(list string) ([]Task, error) {
	all := Tasks()
	names := []string{Core}
	for _, t := range all {
		names = append(names, t.Name)
	}
	var out []Task
	add := func(t Task) {
		if !slices.ContainsFunc(out, func(o Task) bool { return o.Name == t.Name }) {
			out = append(out, t)
		}
	}
	for _, name := range strings.Split(list, ",") {
		name = strings.TrimSpace(name)
		i := slices.IndexFunc(all, func(t Task) bool { return t.Name == name || name == "lambada" && t.greedy })
		switch {
		case name == Core:
			for _, t := range all {
				add(t)
			}
		case i >= 0:
			add(all[i])
		default:
			return nil, fmt.Errorf("there is no suite or task %q%s: choose from %s", name, suggest.DidYouMean(name, names), strings.Join(names, ", "))
		}
	}
	return out, nil
}
