// Package arithmetic is the task of arithmetic: "25 + 17 = 42". A tenth of all pairs
// of operands is never trained on, and a model is examined on those.
package arithmetic

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/model"
	"bitnet/bitnet/runs"
	"bitnet/bitnet/task"
	"bitnet/data"
)

// Kind is the task in the table.
var Kind = task.Kind{
	Name:  "arithmetic",
	About: "sums such as 25 + 17 = 42",
	Open:  open,
	Holds: func(int) task.Held { return task.Held{Prompts: len(prompts), Examined: atOnce, Length: longestText} },
	Try: func(dir string) string {
		return fmt.Sprintf("bitnet generate %s --prompt %q --temp 0", dir, prompts[0])
	},
}

var prompts = []string{"25 + 17 = ", "90 - 9 = ", "6 * 7 = ", "81 / 9 = "}

type sums struct{ *Source }

func open(_ context.Context, o task.Options) (task.Task, error) {
	s, err := NewSource(Options{Seq: o.Seq, Seed: o.Seed, Pack: o.Pack, LossOnAll: o.LossOnAll})
	if err != nil {
		return nil, err
	}
	if err := task.OwnVocabulary("arithmetic", s.Tokenizer(), o); err != nil {
		return nil, err
	}
	return sums{s}, nil
}

func (s sums) Train() data.Source               { return s.Source }
func (s sums) Validation() (data.Source, error) { return s.HeldOutSource(), nil }
func (s sums) Prompts() []string                { return prompts }
func (s sums) IsText() bool                     { return false } // exact match says more

// longestText is the number of tokens of the longest problem with its answer:
// <s>100 * 100 = 10000.
const longestText = 24

// longestAnswer is the most tokens that an answer may have, including the end.
const longestAnswer = 8

// atOnce is how many problems are answered at once.
const atOnce = 64

type examination struct {
	source *Source
	gen    *infer.Generator
}

func (s sums) Examination(m *model.Model) (task.Examination, error) {
	gen, err := infer.NewGenerator(m, atOnce, min(longestText, m.Config.MaxPositions))
	if err != nil {
		return nil, err
	}
	return &examination{s.Source, gen}, nil
}

func (x *examination) Release() { x.gen.Release() }

// group are the problems of one operator whose larger operand has so many
// digits; digits 0 stands for all.
type group struct {
	operator string
	digits   int
}

func (g group) String() string {
	switch {
	case g.operator == "":
		return ""
	case g.digits == 0:
		return g.operator
	case g.digits == 1:
		return g.operator + ", 1 digit"
	}
	return fmt.Sprintf("%s, %d digits", g.operator, g.digits)
}

// Run answers the first n problems that are held out, or all for 0, by the
// likeliest tokens, and counts those that are right to the last character.
func (x *examination) Run(ctx context.Context, n int) ([]runs.Score, error) {
	problems := x.source.HeldOut()
	if n > 0 && n < len(problems) {
		problems = problems[:n]
	}
	tok := x.source.Tokenizer()
	eos, _ := tok.EOS()
	right, total := map[group]int{}, map[group]int{}
	for first := 0; first < len(problems); first += atOnce {
		block := problems[first:min(first+atOnce, len(problems))]
		prompts := make([][]uint32, len(block))
		for i, p := range block {
			var err error
			if prompts[i], err = infer.Prompt(tok, p.Prompt()); err != nil {
				return nil, err
			}
		}
		answers, err := x.gen.Generate(ctx, prompts, longestAnswer, eos, infer.Greedy)
		if err != nil {
			return nil, err
		}
		for i, p := range block {
			op := string(p.Op)
			for _, g := range []group{{}, {op, 0}, {op, len(strconv.Itoa(max(p.A, p.B)))}} {
				total[g]++
				if tok.Decode(answers[i]) == p.Answer() {
					right[g]++
				}
			}
		}
	}
	var scores []runs.Score
	for g, count := range total {
		scores = append(scores, runs.Score{
			Name: "exact match", Part: g.String(), Value: float64(right[g]) / float64(count), Unit: runs.Share,
			Count: count, Of: "problems", Better: runs.Higher,
		})
	}
	slices.SortFunc(scores, func(a, b runs.Score) int { return cmp.Compare(a.Part, b.Part) })
	return scores, nil
}
