package train

// The two-stage schedules of "The Era of 1-bit LLMs: Training Tips, Code and
// FAQ" (table 2): the second half of the steps has a lower learning rate and
// no weight decay.

// LearningRate of a step, from 0: linear to the peak over the warm-up, then
// piecewise linear through (warm-up, peak), (steps/2, 2/3 peak) and
// (steps, peak/1000).
func (t Optimisation) learningRate(step int64) float64 {
	s, warmup, half, end := float64(step), float64(t.WarmupSteps), float64(t.Steps)/2, float64(t.Steps)
	switch {
	case s < warmup:
		return t.LearningRate * (s + 1) / warmup
	case s < half:
		return t.LearningRate * (1 - (s-warmup)/(half-warmup)/3)
	}
	return t.LearningRate * (2.0/3 + (0.001-2.0/3)*(s-half)/(end-half))
}

// weightDecay of a step, from 0.
func (t Optimisation) weightDecay(step int64) float64 {
	if 2*step < int64(t.Steps) {
		return t.WeightDecay
	}
	return t.WeightDecayLater
}

// stageBoundary says whether a checkpoint after so many finished steps is one
// of the two around the change of stage, which are always kept.
func (t Optimisation) stageBoundary(done int64) bool {
	half := int64(t.Steps+1) / 2
	return t.Steps > 1 && (done == half || done == half+1)
}
