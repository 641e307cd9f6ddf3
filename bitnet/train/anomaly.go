package train

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"bitnet/bitnet/runs"
	"bitnet/graph"
)

// ofStep says whether an anomaly belongs to one step, so that its batches can
// be skipped. The others grow over many steps.
func ofStep(k runs.AnomalyKind) bool {
	return k == runs.NotFinite || k == runs.LossSpike || k == runs.GradExplosion
}

// ErrAnomaly ends a run on an anomaly.
var ErrAnomaly = errors.New("training went wrong")

// What is wrong with a step is judged by the losses and gradient norms of the
// last runs.RecentSteps steps that were finite.
const (
	enoughSteps = 32 // with fewer, only NaN and infinity are anomalies

	// A loss spikes if it is over the median by spikeSigmas standard
	// deviations (estimated by the median absolute deviation), by spikeShare
	// of the median, and by spikeNats.
	spikeSigmas = 8
	spikeShare  = 0.2
	spikeNats   = 0.2

	// A gradient explodes if its norm is explodeTimes the median and as many
	// times what it is clipped to.
	explodeTimes = 10
)

// judge finds what is wrong with a step.
func judge(r *runs.Recent, s graph.StepResult, maxNorm float64) []runs.Anomaly {
	loss, norm := float64(s.Loss), float64(s.GradNorm)
	for _, v := range []struct {
		name  string
		value float64
	}{{"loss", loss}, {"gradient norm", norm}} {
		if math.IsNaN(v.value) || math.IsInf(v.value, 0) {
			return []runs.Anomaly{{Kind: runs.NotFinite, Message: fmt.Sprintf("the %s is %v", v.name, v.value), Value: runs.Number(v.value)}}
		}
	}
	if len(r.Loss) < enoughSteps {
		return nil
	}
	var out []runs.Anomaly
	middle, spread := medianAndSpread(r.Loss)
	if limit := middle + max(spikeSigmas*spread, spikeShare*middle, spikeNats); loss > limit {
		out = append(out, runs.Anomaly{Kind: runs.LossSpike, Value: runs.Number(loss), Limit: runs.Number(limit),
			Message: fmt.Sprintf("the loss is %.4g, the median of the last %d steps %.4g", loss, len(r.Loss), middle)})
	}
	middle, _ = medianAndSpread(r.Norm)
	if limit := explodeTimes * max(middle, maxNorm); norm > limit {
		out = append(out, runs.Anomaly{Kind: runs.GradExplosion, Value: runs.Number(norm), Limit: runs.Number(limit),
			Message: fmt.Sprintf("the gradient norm is %.4g, the median of the last %d steps %.4g", norm, len(r.Norm), middle)})
	}
	return out
}

// remember records a step if its loss and gradient norm are finite, with a teacher also
// the divergence from it.
func remember(r *runs.Recent, s graph.StepResult, taught bool) {
	if loss, norm := float64(s.Loss), float64(s.GradNorm); math.IsNaN(loss-loss) || math.IsNaN(norm-norm) {
		return
	}
	push := func(to []float32, v float32) []float32 {
		if len(to) == runs.RecentSteps {
			to = slices.Delete(to, 0, 1)
		}
		return append(to, v)
	}
	if taught && len(r.Divergence) == len(r.Loss) { // a run can get its teacher later
		r.Divergence = push(r.Divergence, s.Divergence)
	} else {
		r.Divergence = nil
	}
	r.Loss, r.Norm = push(r.Loss, s.Loss), push(r.Norm, s.GradNorm)
}

// medianAndSpread estimates mean and standard deviation from medians, which
// single wild values do not move.
func medianAndSpread(values []float32) (middle, spread float64) {
	sorted := slices.Clone(values)
	slices.Sort(sorted)
	m := sorted[len(sorted)/2]
	for i, v := range sorted {
		sorted[i] = max(v-m, m-v)
	}
	slices.Sort(sorted)
	// 1.4826 is that of the normal distribution.
	return float64(m), 1.4826 * float64(sorted[len(sorted)/2])
}

// collapsed is the share of zeros at which a projection no longer does anything.
const collapsed = 0.999

// judgeShares finds projections whose weights are all zero.
func judgeShares(shares []graph.Shares) []runs.Anomaly {
	var names []string
	worst := 0.0
	for _, s := range shares {
		if s.Zero >= collapsed {
			names = append(names, s.Name)
			worst = max(worst, s.Zero)
		}
	}
	if names == nil {
		return nil
	}
	return []runs.Anomaly{{Kind: runs.TernaryCollapse, Value: runs.Number(worst), Limit: collapsed,
		Message: fmt.Sprintf("all ternary weights are zero in %d of %d projections, the first of them %s", len(names), len(shares), names[0])}}
}

const (
	// A sample repeats itself if its end is one phrase of at most phraseTokens
	// again and again, over more than repeatTokens tokens.
	phraseTokens = 8
	repeatTokens = 20
	// Entropy collapses if the samples' next tokens have less than entropyShare
	// of the entropy that the training loss implies, or if the text itself has
	// less than one bit per token; only judged from entropyTokens tokens on.
	entropyShare  = 0.02
	entropyOfText = math.Ln2
	entropyTokens = 32
	// judgedFrom is the step before which samples are not judged, nor in the
	// first tenth of a run: early samples always repeat themselves.
	judgedFrom = 200
)

// judgeSamples looks at generated ids and at the mean entropy, in nats, of the
// distributions that they were chosen from.
func judgeSamples(samples []runs.Sample, ids [][]uint32, loss float64) []runs.Anomaly {
	var out []runs.Anomaly
	longest, at := 0, 0
	tokens, total := 0, 0.0
	for i, list := range ids {
		if n := repeats(list); n > longest {
			longest, at = n, i
		}
		total += samples[i].Entropy * float64(len(list))
		tokens += len(list)
	}
	if longest > repeatTokens {
		out = append(out, runs.Anomaly{Kind: runs.Repetition, Value: runs.Number(longest), Limit: repeatTokens,
			Message: fmt.Sprintf("the sample of %q repeats one phrase over %d tokens", samples[at].Prompt, longest)})
	}
	if tokens < entropyTokens {
		return out
	}
	if mean, limit := total/float64(tokens), entropyShare*loss; loss > spikeNats && mean < limit {
		return append(out, runs.Anomaly{Kind: runs.EntropyCollapse, Value: runs.Number(mean), Limit: runs.Number(limit),
			Message: fmt.Sprintf("samples are chosen with an entropy of %.3g nats, at a training loss of %.3g", mean, loss)})
	}
	if e := entropyOf(slices.Concat(ids...)); e < entropyOfText {
		out = append(out, runs.Anomaly{Kind: runs.EntropyCollapse, Value: runs.Number(e), Limit: entropyOfText,
			Message: fmt.Sprintf("the tokens of all samples together have an entropy of %.3g nats", e)})
	}
	return out
}

// repeats is how many tokens at the end of ids are one phrase, at least three
// times.
func repeats(ids []uint32) int {
	best := 0
	for phrase := 1; phrase <= phraseTokens; phrase++ {
		n := phrase
		for n < len(ids) && ids[len(ids)-1-n] == ids[len(ids)-1-n+phrase] {
			n++
		}
		if n >= 3*phrase {
			best = max(best, n)
		}
	}
	return best
}

// entropyOf is the entropy of how often each token occurs, in nats.
func entropyOf(ids []uint32) float64 {
	count := map[uint32]int{}
	for _, id := range ids {
		count[id]++
	}
	e := 0.0
	for _, n := range count {
		p := float64(n) / float64(len(ids))
		e -= p * math.Log(p)
	}
	return e
}

// firsts keeps the earliest anomaly of each kind, in the order of the steps.
func firsts(all []runs.Anomaly) []runs.Anomaly {
	slices.SortStableFunc(all, func(a, b runs.Anomaly) int { return cmp.Compare(a.Step, b.Step) })
	seen := map[runs.AnomalyKind]bool{}
	return slices.DeleteFunc(all, func(a runs.Anomaly) bool {
		again := seen[a.Kind]
		seen[a.Kind] = true
		return again
	})
}
