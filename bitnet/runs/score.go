package runs

import (
	"math"
	"strings"
)

// Unit says what a score's value is.
type Unit string

const (
	Share Unit = "share" // of 0 to 1, shown as a percentage
	Count Unit = "count"
	Nats  Unit = "nats"
	Bits  Unit = "bits"
)

// Better says in which direction a score improves.
type Better string

const (
	Higher Better = "higher"
	Lower  Better = "lower"
)

// Score is one named result of an examination of a model. It describes itself,
// so that its readers know nothing about tasks.
type Score struct {
	Name   string  `json:"name"`             // such as "exact match", "games won" or "legal moves"
	Part   string  `json:"part,omitempty"`   // the part of the examination, such as "+" or "+, 2 digits"; "" for all of it
	Value  float64 `json:"value"`            // a share of 0 to 1 if Unit is Share
	Unit   Unit    `json:"unit"`             //
	Count  int     `json:"count,omitempty"`  // how many things it is a share of or a mean over
	Of     string  `json:"of,omitempty"`     // the name of these things in the plural: "problems", "games", "moves"
	Better Better  `json:"better,omitempty"` // "" where neither direction is an improvement
}

// ValidationLoss is the name of the loss of an evaluation, as a score.
const ValidationLoss = "validation loss"

// BitsPerByte is the name of the score of text that does not depend on the
// tokenizer.
const BitsPerByte = "bits per byte"

// NewBitsPerByte is the score of a loss in nats, the mean over tokens that stand
// for so many bytes of text: loss * tokens / (ln 2 * bytes).
func NewBitsPerByte(loss float64, tokens, bytes int64) Score {
	value := loss * float64(tokens) / (math.Ln2 * float64(bytes))
	return Score{Name: BitsPerByte, Value: value, Unit: Bits, Count: int(bytes), Of: "bytes", Better: Lower}
}

// Eval is a line of logs/eval.jsonl.
type Eval struct {
	Step       int64   `json:"step"`
	Loss       Number  `json:"loss"` // mean over Tokens, in nats
	Perplexity Number  `json:"perplexity"`
	Tokens     int64   `json:"tokens"` // that carry loss
	Scores     []Score `json:"scores,omitempty"`
}

// Format is how the score's value is written.
func (s Score) Format() Format {
	switch s.Unit {
	case Share:
		return Percent
	case Count:
		return Whole
	}
	return Plain
}

// String is the value in words, such as "12.5% of 64 problems".
func (s Score) String() string {
	text := s.Format().Text(s.Value)
	if s.Unit == Nats {
		text += " nats"
	}
	if s.Count <= 0 {
		return text
	}
	of := " over "
	if s.Unit == Share || s.Unit == Count {
		of = " of "
	}
	name := s.Of
	if s.Count == 1 {
		name = strings.TrimSuffix(name, "s")
	}
	return text + of + strings.TrimSuffix(thousands(int64(s.Count))+" "+name, " ")
}

// All lists all scores of an evaluation: the validation loss, then what the
// examination found.
func (e *Eval) All() []Score {
	loss := Score{Name: ValidationLoss, Value: float64(e.Loss), Unit: Nats, Count: int(e.Tokens), Of: "tokens", Better: Lower}
	return append([]Score{loss}, e.Scores...)
}

// fewParts is how many parts of a score are shown in words or as curves.
const fewParts = 8

// Parts lists the parts of a score that are few enough to show: those that are
// not parts of a part, which have a comma in their names. With too many of
// them it lists none.
func (e *Eval) Parts(name string) []Score {
	var list []Score
	for _, s := range e.Scores {
		if s.Name == name && s.Part != "" && !strings.Contains(s.Part, ",") {
			list = append(list, s)
		}
	}
	if len(list) > fewParts {
		return nil
	}
	return list
}
