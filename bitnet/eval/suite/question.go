package suite

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// choose makes a question of several choices: lm-eval puts a space before each.
func choose(context string, choices []string, gold int) (question, error) {
	if len(choices) < 2 {
		return question{}, fmt.Errorf("it has %d choices: want 2 or more", len(choices))
	}
	if gold < 0 || gold >= len(choices) {
		return question{}, fmt.Errorf("its label is %d: want 0 to %d", gold, len(choices)-1)
	}
	q := question{Context: context, Gold: gold}
	for _, c := range choices {
		q.Continuations = append(q.Continuations, " "+c)
		q.Lengths = append(q.Lengths, utf8.RuneCountInString(c))
	}
	return q, nil
}

// label is a number, or a string of one.
type label struct {
	value int
	set   bool
}

func (l *label) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	if text == "null" || text == "" {
		return nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("its label is %s: want the number of a choice", b)
	}
	*l = label{n, true}
	return nil
}

// errNoLabel is what the test splits of some data sets, whose answers are secret, end with.
var errNoLabel = errors.New("it has no label: a split without answers cannot be measured")

// missing says which of the fields of a row are not there.
func missing(fields map[string]*string) error {
	var names []string
	for name, value := range fields {
		if value == nil {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	slices.Sort(names)
	return fmt.Errorf("it has no %s", strings.Join(names, ", no "))
}

// decode reads a row, and explains an error in the words of the data.
func decode(row []byte, to any) error {
	err := json.Unmarshal(row, to)
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return fmt.Errorf("its %s is a %s, which does not fit", kind.Field, kind.Value)
	}
	return err
}

// readHellaSwag makes a question of a row of HellaSwag (Zellers et al., 2019).
func readHellaSwag(row []byte) (question, error) {
	var r struct {
		Activity *string  `json:"activity_label"`
		A        *string  `json:"ctx_a"`
		B        *string  `json:"ctx_b"`
		Endings  []string `json:"endings"`
		Label    label    `json:"label"`
	}
	if err := decode(row, &r); err != nil {
		return question{}, err
	}
	if err := missing(map[string]*string{"activity_label": r.Activity, "ctx_a": r.A, "ctx_b": r.B}); err != nil {
		return question{}, err
	}
	if !r.Label.set {
		return question{}, errNoLabel
	}
	var choices []string
	for _, e := range r.Endings {
		choices = append(choices, clean(e))
	}
	return choose(clean(*r.Activity+": "+*r.A+" "+capitalize(*r.B)), choices, r.Label.value)
}

// readPIQA makes a question of a row of PIQA (Bisk et al., 2020).
func readPIQA(row []byte) (question, error) {
	var r struct {
		Goal  *string `json:"goal"`
		Sol1  *string `json:"sol1"`
		Sol2  *string `json:"sol2"`
		Label label   `json:"label"`
	}
	if err := decode(row, &r); err != nil {
		return question{}, err
	}
	if err := missing(map[string]*string{"goal": r.Goal, "sol1": r.Sol1, "sol2": r.Sol2}); err != nil {
		return question{}, err
	}
	if !r.Label.set || r.Label.value < 0 { // the hidden answers of its test split are -1
		return question{}, errNoLabel
	}
	return choose("Question: "+*r.Goal+"\nAnswer:", []string{*r.Sol1, *r.Sol2}, r.Label.value)
}

// readARC makes a question of a row of the AI2 Reasoning Challenge (Clark et al., 2018).
func readARC(row []byte) (question, error) {
	var r struct {
		Question *string `json:"question"`
		Choices  struct {
			Text  []string `json:"text"`
			Label []string `json:"label"`
		} `json:"choices"`
		Key *string `json:"answerKey"`
	}
	if err := decode(row, &r); err != nil {
		return question{}, err
	}
	if err := missing(map[string]*string{"question": r.Question, "answerKey": r.Key}); err != nil {
		return question{}, err
	}
	if *r.Key == "" {
		return question{}, errNoLabel
	}
	c := r.Choices
	if len(c.Text) != len(c.Label) {
		return question{}, fmt.Errorf("its choices have %d texts and %d labels", len(c.Text), len(c.Label))
	}
	gold := slices.Index(c.Label, *r.Key)
	if gold < 0 {
		return question{}, fmt.Errorf("its answerKey %q is none of the labels %q", *r.Key, c.Label)
	}
	return choose("Question: "+*r.Question+"\nAnswer:", c.Text, gold)
}

// readLAMBADA makes a question of a passage of LAMBADA (Paperno et al., 2016): its
// last word is to follow, where words are what single spaces part.
func readLAMBADA(row []byte) (question, error) {
	var r struct {
		Text *string `json:"text"`
	}
	if err := decode(row, &r); err != nil {
		return question{}, err
	}
	if err := missing(map[string]*string{"text": r.Text}); err != nil {
		return question{}, err
	}
	words := strings.Split(*r.Text, " ")
	last := len(words) - 1
	return question{Context: strings.Join(words[:last], " "), Continuations: []string{" " + words[last]}}, nil
}
