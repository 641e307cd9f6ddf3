package suite

import (
	"context"
	"math"
	"slices"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/model"
)

// greedyRows is how many requests are measured at once where the logits are needed.
const greedyRows = 16

// greedyLikelihoods is likelihoods for requests whose continuations are to be what
// the model itself would write: that needs the logits of all tokens, which are read
// position by position.
func greedyLikelihoods(ctx context.Context, m *model.Model, requests []request, most int, done func(tokens int)) ([]answer, error) {
	answers := make([]answer, len(requests))
	if len(requests) == 0 {
		return answers, nil
	}
	// Those of like length go together, the longest first.
	order, longest := make([]int, len(requests)), 0
	for i, r := range requests {
		order[i] = i
		longest = max(longest, len(r.inputs(most)))
	}
	slices.SortStableFunc(order, func(a, b int) int { return len(requests[b].context) - len(requests[a].context) })
	n := min(greedyRows, len(requests))
	gen, err := infer.NewGenerator(m, n, longest)
	if err != nil {
		return nil, err
	}
	defer gen.Release()
	for at := 0; at < len(order); at += n {
		group := order[at:min(at+n, len(order))]
		if err := greedyGroup(ctx, gen, requests, group, most, answers); err != nil {
			return nil, err
		}
		for _, k := range group {
			done(len(requests[k].inputs(most)))
		}
	}
	return answers, nil
}

// greedyGroup measures as many requests as the generator has sequences.
func greedyGroup(ctx context.Context, gen *infer.Generator, requests []request, group []int, most int, answers []answer) error {
	feed := make([][]uint32, len(group))
	for i, k := range group {
		gen.Truncate(i, 0)
		inputs := requests[k].inputs(most)
		feed[i] = inputs[:len(inputs)-len(requests[k].continuation)+1]
		answers[k].Greedy = true
	}
	for step := 0; ; step++ {
		logits, err := gen.Feed(ctx, feed)
		if err != nil {
			return err
		}
		busy := false
		for i, k := range group {
			if logits[i] == nil {
				continue
			}
			target := requests[k].continuation[step]
			logProb, best := logProbOf(logits[i], target)
			answers[k].LogProb += logProb
			answers[k].Greedy = answers[k].Greedy && best == target
			feed[i] = nil
			if step+1 < len(requests[k].continuation) {
				feed[i] = requests[k].continuation[step : step+1]
				busy = true
			}
		}
		if !busy {
			return nil
		}
	}
}

// logProbOf is the log-probability of a token, and the likeliest token, of which
// the first counts where several are.
func logProbOf(logits []float32, token uint32) (logProb float64, best uint32) {
	best = infer.Greedy(0, logits)
	most, sum := float64(logits[best]), 0.
	for _, v := range logits {
		sum += math.Exp(float64(v) - most)
	}
	return float64(logits[token]) - most - math.Log(sum), best
}
