package bitnet

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"bitnet/graph"
)

// AnomalyKind names what went wrong.
type AnomalyKind string

const (
	NotFinite       AnomalyKind = "nan"              // loss or gradient norm is NaN or infinite
	LossSpike       AnomalyKind = "loss_spike"       // far over the running median
	GradExplosion   AnomalyKind = "grad_explosion"   // gradient norm far over the running median
	EntropyCollapse AnomalyKind = "entropy_collapse" // samples are far surer than the loss allows
	Repetition      AnomalyKind = "repetition"       // a sample goes around in circles
	TernaryCollapse AnomalyKind = "ternary_collapse" // a projection is all zero
)

// ofStep says whether the anomaly belongs to one step, so that its batches can
// be skipped. The others grow over many steps.
func (k AnomalyKind) ofStep() bool {
	return k == NotFinite || k == LossSpike || k == GradExplosion
}

// Policies of train.on_anomaly, and what was done about an anomaly.
const (
	Warn     = "warn"     // say it and go on
	Stop     = "stop"     // end the run
	RollBack = "rollback" // go back to the last checkpoint and skip the batches of the step
)

// Anomaly is a line of logs/anomalies.jsonl.
type Anomaly struct {
	Step    int64       `json:"step"` // finished steps, the one meant included
	Kind    AnomalyKind `json:"kind"`
	Message string      `json:"message"`
	Value   Number      `json:"value"` // what was measured
	Limit   Number      `json:"limit"` // what it was held against
	Dump    string      `json:"dump"`  // file in the run's folder with what is needed to debug it, or ""
	Action  string      `json:"action"`
	Time    time.Time   `json:"time"`
}

// ErrAnomaly ends a run on an anomaly.
var ErrAnomaly = errors.New("training went wrong")

// recent is what the losses and gradient norms of steps are held against: those
// of the last recentSteps steps that were finite. It is kept in checkpoints, so
// that a resumed run judges like one that was not interrupted.
type recent struct {
	Loss []float32 `json:"loss"`
	Norm []float32 `json:"grad_norm"`
}

const (
	recentSteps = 128
	enoughSteps = 32 // before which nothing is judged but NaN

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
func (r *recent) judge(s graph.StepResult, maxNorm float64) []Anomaly {
	loss, norm := float64(s.Loss), float64(s.GradNorm)
	for _, v := range []struct {
		name  string
		value float64
	}{{"loss", loss}, {"gradient norm", norm}} {
		if math.IsNaN(v.value) || math.IsInf(v.value, 0) {
			return []Anomaly{{Kind: NotFinite, Message: fmt.Sprintf("the %s is %v", v.name, v.value), Value: Number(v.value)}}
		}
	}
	if len(r.Loss) < enoughSteps {
		return nil
	}
	var out []Anomaly
	middle, spread := medianAndSpread(r.Loss)
	if limit := middle + max(spikeSigmas*spread, spikeShare*middle, spikeNats); loss > limit {
		out = append(out, Anomaly{Kind: LossSpike, Value: Number(loss), Limit: Number(limit),
			Message: fmt.Sprintf("the loss is %.4g, the median of the last %d steps %.4g", loss, len(r.Loss), middle)})
	}
	middle, _ = medianAndSpread(r.Norm)
	if limit := explodeTimes * max(middle, maxNorm); norm > limit {
		out = append(out, Anomaly{Kind: GradExplosion, Value: Number(norm), Limit: Number(limit),
			Message: fmt.Sprintf("the gradient norm is %.4g, the median of the last %d steps %.4g", norm, len(r.Norm), middle)})
	}
	return out
}

// add takes up a step if it was finite.
func (r *recent) add(s graph.StepResult) {
	if loss, norm := float64(s.Loss), float64(s.GradNorm); math.IsNaN(loss-loss) || math.IsNaN(norm-norm) {
		return
	}
	push := func(to []float32, v float32) []float32 {
		if len(to) == recentSteps {
			to = slices.Delete(to, 0, 1)
		}
		return append(to, v)
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

// collapsed is the share of zeros from which on a projection does nothing.
const collapsed = 0.999

// judgeShares finds projections whose weights are all zero.
func judgeShares(shares []graph.Shares) []Anomaly {
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
	return []Anomaly{{Kind: TernaryCollapse, Value: Number(worst), Limit: collapsed,
		Message: fmt.Sprintf("all ternary weights are zero in %d of %d projections, the first of them %s", len(names), len(shares), names[0])}}
}

const (
	// A sample repeats itself if its end is one phrase of at most phraseTokens
	// again and again, over more than repeatTokens tokens.
	phraseTokens = 8
	repeatTokens = 20
	// Entropy collapses if the samples' next tokens have less than entropyShare
	// of the entropy that the training loss speaks of, or if the text itself
	// has less than a bit a token; with entropyTokens tokens at least.
	entropyShare  = 0.02
	entropyOfText = math.Ln2
	entropyTokens = 32
	// judgedFrom is the step before which samples are not judged, nor in the
	// first tenth of a run: all beginnings stammer.
	judgedFrom = 200
)

// judgeSamples looks at generated ids and at the mean entropy, in nats, of the
// distributions that they were chosen from.
func judgeSamples(samples []Sample, ids [][]uint32, loss float64) []Anomaly {
	var out []Anomaly
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
		out = append(out, Anomaly{Kind: Repetition, Value: Number(longest), Limit: repeatTokens,
			Message: fmt.Sprintf("the sample of %q repeats one phrase over %d tokens", samples[at].Prompt, longest)})
	}
	if tokens < entropyTokens {
		return out
	}
	if mean, limit := total/float64(tokens), entropyShare*loss; loss > spikeNats && mean < limit {
		return append(out, Anomaly{Kind: EntropyCollapse, Value: Number(mean), Limit: Number(limit),
			Message: fmt.Sprintf("samples are chosen with an entropy of %.3g nats, at a training loss of %.3g", mean, loss)})
	}
	if e := entropyOf(slices.Concat(ids...)); e < entropyOfText {
		out = append(out, Anomaly{Kind: EntropyCollapse, Value: Number(e), Limit: entropyOfText,
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

// entropyOfLogits is the entropy of softmax(logits), in nats.
func entropyOfLogits(logits []float32) float64 {
	top := float64(slices.Max(logits))
	sum, weighted := 0.0, 0.0
	for _, v := range logits {
		d := float64(v) - top
		e := math.Exp(d)
		sum += e
		if e > 0 {
			weighted += e * d
		}
	}
	return math.Log(sum) - weighted/sum
}

// firsts keeps the earliest anomaly of each kind, in the order of the steps.
func firsts(all []Anomaly) []Anomaly {
	slices.SortStableFunc(all, func(a, b Anomaly) int { return cmp.Compare(a.Step, b.Step) })
	seen := map[AnomalyKind]bool{}
	return slices.DeleteFunc(all, func(a Anomaly) bool {
		again := seen[a.Kind]
		seen[a.Kind] = true
		return again
	})
}
