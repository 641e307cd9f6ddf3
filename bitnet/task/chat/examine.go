package chat

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/model"
	"bitnet/bitnet/runs"
	"bitnet/bitnet/task"
	"bitnet/data/tokenizer"
)

// Which held-out questions are asked, and how.
const (
	atOnce       = 16  // questions answered together
	mostAnswer   = 128 // tokens of the expected answer of a question that is asked
	exactAnswer  = 32  // tokens of an expected answer that is compared word by word
	longerAnswer = 32  // tokens that an answer may have more than the longest expected one
)

// problem is a held-out question.
type problem struct {
	question []uint32
	answer   string
	exact    bool // the answer is short enough to be compared
	kind     string
}

type examination struct {
	gen      *infer.Generator
	tok      *tokenizer.Tokenizer
	problems []problem
	end      uint32 // the token that ends an answer
	limit    int    // tokens of an answer
}

// Examination asks the held-out questions whose answers are not long. It is nil
// where there are none.
func (t *chats) Examination(m *model.Model) (task.Examination, error) {
	x := &examination{tok: t.tok}
	x.end, _ = t.tok.ID(t.format.Stop[0])
	context := min(t.o.Seq, m.Config.MaxPositions)
	for _, s := range t.held {
		ids, err := t.tok.EncodeOrdinary(s.answer)
		if err != nil {
			return nil, err
		}
		if len(ids) > mostAnswer || len(s.question)+len(ids)+1 > context {
			continue
		}
		x.limit = max(x.limit, len(ids)+1+longerAnswer)
		x.problems = append(x.problems, problem{s.question, s.answer, len(ids) <= exactAnswer, s.kind})
	}
	if len(x.problems) == 0 {
		return nil, nil
	}
	var err error
	x.gen, err = infer.NewGenerator(m, min(atOnce, len(x.problems)), context)
	return x, err
}

// Release frees what the examination holds on the device.
func (x *examination) Release() { x.gen.Release() }

// tally counts answers.
type tally struct{ asked, inForm, compared, right int }

// Run asks the first n questions, or all for 0, and takes the likeliest tokens.
func (x *examination) Run(ctx context.Context, n int) ([]runs.Score, error) {
	list := x.problems
	if n > 0 && n < len(list) {
		list = list[:n]
	}
	found := map[string]*tally{"": {}}
	for first := 0; first < len(list); first += atOnce {
		block := list[first:min(first+atOnce, len(list))]
		questions := make([][]uint32, len(block))
		for i, p := range block {
			questions[i] = p.question
		}
		ended := make([]bool, len(block))
		answers, err := x.gen.Generate(ctx, questions, x.limit, x.end, func(i int, logits []float32) uint32 {
			next := infer.Greedy(i, logits)
			ended[i] = next == x.end
			return next
		})
		if err != nil {
			return nil, err
		}
		for i, p := range block {
			for _, kind := range slices.Compact([]string{"", p.kind}) {
				if found[kind] == nil {
					found[kind] = &tally{}
				}
				x.count(found[kind], p, answers[i], ended[i])
			}
		}
	}
	return scores(found), nil
}

// count adds an answer. It is in form if it has text, ends with the token that
// ends it, and has no other special token.
func (x *examination) count(t *tally, p problem, answer []uint32, ended bool) {
	inForm := ended && len(answer) > 0 && !slices.ContainsFunc(answer, x.tok.IsSpecial)
	t.asked++
	if inForm {
		t.inForm++
	}
	if !p.exact {
		return
	}
	t.compared++
	if inForm && strings.TrimSpace(x.tok.Decode(answer)) == p.answer {
		t.right++
	}
}

// scores are those of all questions, and then of their kinds.
func scores(found map[string]*tally) []runs.Score {
	var list []runs.Score
	share := func(name, kind string, n, of int) {
		if of > 0 {
			list = append(list, runs.Score{Name: name, Part: kind, Value: float64(n) / float64(of), Unit: runs.Share, Count: of, Of: "questions", Better: runs.Higher})
		}
	}
	for kind, t := range found {
		share("answers in form", kind, t.inForm, t.asked)
		share("exact match", kind, t.right, t.compared)
	}
	slices.SortFunc(list, func(a, b runs.Score) int { return cmp.Or(cmp.Compare(a.Part, b.Part), cmp.Compare(a.Name, b.Name)) })
	return list
}
