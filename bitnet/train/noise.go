package train

import (
	"errors"
	"fmt"
	"math"

	"bitnet/bitnet/infer"
	"bitnet/bitnet/runs"
	"bitnet/data"
	"bitnet/graph"
)

// The gradient of n tokens has the expected square |G|^2 + S / n, with G the gradient
// over all data and S the variance of one token's gradient, summed over all parameters.
// Two sizes tell both, and S / |G|^2 is the simple noise scale in tokens (McCandlish et
// al., An empirical model of large-batch training, arXiv 1812.06162, appendix A.1). Here
// they are a step and the first part of it: its first micro-batch, the part of rank 0,
// or else half of its rows, for which that half is computed once more.

const (
	// noiseWindow is over how many measurements means are taken, about.
	noiseWindow = 64
	// With fewer than leastNoise measurements, or a mean of |G|^2 of at most
	// noiseSigmas times its standard error, nothing is said.
	leastNoise  = 8
	noiseSigmas = 2
)

// noise measures the gradient's noise; all is nil for a run that does not.
type noise struct {
	meter *graph.GradientMeter
	half  *data.Batch
	open  []*measurement // of steps that observe has not yet read
}

// measurement is that of one step.
type measurement struct {
	step        int64   // from 0
	tokens      float64 // of the step
	part, whole float64 // tokens that carry loss, in the part and in the step
	norm        float64 // of the part's gradient as the step weighs it, if exchanged
	exchanged   bool
}

func (c *Config) checkNoise() error {
	if c.Output.NoiseInterval > 0 && c.Train.BatchSize*c.Train.GradAccum < 2 {
		return errors.New("output.noise_interval compares a part of a step with the whole, and a step has one sequence: raise --batch-size or --grad-accum")
	}
	return nil
}

// makeNoise makes ready what measures the noise.
func (t *Trainer) makeNoise() (err error) {
	if t.Config.Output.NoiseInterval == 0 || !t.leads() {
		return nil
	}
	half := *t.batches[0]
	half.Targets = make([]uint32, len(half.Targets))
	t.noise.half = &half
	t.noise.meter, err = t.model.Params.NewGradientMeter(t.dev)
	return err
}

// beginMeasurement begins to measure the noise of the step that comes next, if it is
// due: own are this rank's micro-batches of it, with counted tokens on all ranks
// that carry loss. It computes half of a micro-batch that has nothing to be compared with.
func (t *Trainer) beginMeasurement(own []*data.Batch, counted int) (*measurement, error) {
	if t.noise.meter == nil || !t.every(t.Config.Output.NoiseInterval) {
		return nil, nil
	}
	part := own[0]
	lone := len(own) == 1 && t.exchange == nil
	if lone {
		part = t.firstHalf(own[0])
	}
	m := &measurement{step: t.state.Step, part: float64(lossTokens(part)), whole: float64(counted), exchanged: len(own) == 1 && !lone}
	m.tokens = float64(t.Config.TokensBetween(m.step, m.step+1))
	if m.part == 0 || m.part == m.whole {
		return nil, nil
	}
	t.noise.open = append(t.noise.open, m)
	if !lone {
		return m, nil
	}
	if err := infer.LoadBatch(t.program, part, t.Config.Model.VocabSize); err != nil {
		return nil, err
	}
	for _, do := range []func() error{t.program.MicroBatch, t.noise.meter.Measure, t.noise.meter.Discard} {
		if err := do(); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// firstHalf is a batch in which only the first half of the rows carries loss.
func (t *Trainer) firstHalf(b *data.Batch) *data.Batch {
	h := t.noise.half
	h.Inputs, h.Begins = b.Inputs, b.Begins
	end := b.Rows / 2 * b.Seq
	copy(h.Targets, b.Targets[:end])
	for i := end; i < len(h.Targets); i++ {
		h.Targets[i] = data.Ignore
	}
	return h
}

// lossTokens is how many tokens of batches carry loss.
func lossTokens(batches ...*data.Batch) int {
	n := 0
	for _, b := range batches {
		for _, id := range b.Targets {
			if id != data.Ignore {
				n++
			}
		}
	}
	return n
}

// takeNoise takes in the measurements of the steps that history has, from first on.
func (t *Trainer) takeNoise(first int64, history []graph.StepResult) error {
	open := t.noise.open
	t.noise.open = open[:0]
	if len(open) == 0 {
		return nil
	}
	steps := make([]int64, len(open))
	for i, m := range open {
		steps[i] = m.step
	}
	norms, err := t.noise.meter.Norms(steps)
	if err != nil {
		return err
	}
	for i, m := range open {
		if !m.exchanged {
			m.norm = float64(norms[i])
		}
		if at := m.step - first; at >= 0 && at < int64(len(history)) {
			t.state.Noise = m.addTo(t.state.Noise, float64(history[at].GradNorm))
		}
	}
	return nil
}

// addTo takes a measurement into running means; norm is that of the whole step. Means
// are over all measurements at first, and forget the oldest later.
func (m *measurement) addTo(old *runs.Noise, norm float64) *runs.Noise {
	part := m.norm * m.whole / m.part // the step divides the part's sum by all of its tokens
	signal := (m.whole*norm*norm - m.part*part*part) / (m.whole - m.part)
	spread := (part*part - norm*norm) / (1/m.part - 1/m.whole)
	spread *= m.tokens / m.whole // a token in words of all tokens, not only of those that carry loss
	n := runs.Noise{}
	if old != nil {
		n = *old
	}
	n.Count++
	weight := 1 / float64(min(n.Count, noiseWindow))
	n.Signal += weight * (signal - n.Signal)
	n.Square += weight * (signal*signal - n.Square)
	n.Spread += weight * (spread - n.Spread)
	if sum := n.Signal + n.Square + n.Spread; math.IsNaN(sum) || math.IsInf(sum, 0) {
		return old
	}
	return &n
}

// noiseScale is the simple noise scale in tokens. It is not known if there are too few
// measurements, or if the gradient is too small beside its noise.
func noiseScale(n *runs.Noise) (tokens float64, known bool) {
	if n == nil || n.Count < leastNoise || n.Spread <= 0 {
		return 0, false
	}
	variance := max(n.Square-n.Signal*n.Signal, 0) / float64(min(n.Count, noiseWindow))
	if !(n.Signal > noiseSigmas*math.Sqrt(variance)) {
		return 0, false
	}
	return n.Spread / n.Signal, true
}

// adviseBatch says at the end of a run what its gradients' noise means for the size of
// a step.
func (t *Trainer) adviseBatch() {
	if t.noise.meter == nil {
		return
	}
	t.events.note("gradient noise: " + batchAdvice(t.state.Noise, t.Config.TokensBetween(t.state.Step-1, t.state.Step)))
}

// batchAdvice is advice for a run with steps of so many tokens. Steps of B tokens need
// 1 + N/B times the fewest steps, and 1 + B/N times the fewest tokens, at a noise scale
// of N tokens (McCandlish et al., 2018, equation 2.11).
func batchAdvice(n *runs.Noise, step int64) string {
	size := runs.Whole.Text(float64(step))
	if n == nil || n.Count < leastNoise {
		return fmt.Sprintf("too few measurements for advice on the batch size: %d are needed (a smaller noise_interval makes more)", leastNoise)
	}
	scale, known := noiseScale(n)
	if !known {
		return fmt.Sprintf("%d measurements cannot tell the gradient from its noise: the noise scale is probably far above the %s tokens of a step, and larger steps would need few more tokens", n.Count, size)
	}
	ratio := scale / float64(step)
	about := runs.Whole.Text(rounded(scale))
	switch {
	case ratio > 2:
		return fmt.Sprintf("steps of about %s tokens would take %.2g times fewer steps than yours of %s, for %.2g times the tokens: larger than that hardly pays", about, (1+ratio)/2, size, 2/(1+1/ratio))
	case ratio < 0.5:
		return fmt.Sprintf("steps of about %s tokens would need %.2g times fewer tokens than yours of %s, in %.2g times as many steps", about, (1+1/ratio)/2, size, 2/(1+ratio))
	}
	return fmt.Sprintf("steps of %s tokens are near the noise scale of about %s: a good size", size, about)
}

// rounded has two significant digits.
func rounded(v float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(v))-1)
	return math.Round(v/unit) * unit
}
