package train

import (
	"fmt"
	"math"
	"strings"

	"bitnet/bitnet/runs"
)

// Schedule names how the learning rate and the weight decay change over the
// steps: the value of train.schedule.
type Schedule string

const (
	// TwoStage is the schedule of "The Era of 1-bit LLMs: Training Tips, Code
	// and FAQ" (table 2): the rate falls in two straight lines through 2/3 of the
	// peak at half of the steps to a thousandth at the end.
	TwoStage Schedule = "two-stage"
	// Trapezoid holds the peak until the last cooldown_steps, over which the rate
	// falls in a straight line.
	Trapezoid Schedule = "trapezoid"
	// Cosine falls over half a period of a cosine.
	Cosine Schedule = "cosine"
)

// curve is a row of the table of schedules. All begin with the warm-up and have
// two stages, each with a weight decay of its own.
type curve struct {
	name Schedule
	// final is the learning rate at the end as a share of the peak, where
	// final_lr_ratio does not say otherwise.
	final float64
	// rate is the learning rate after the warm-up as a share of the peak. It
	// falls to final at t.Steps, one step after the last.
	rate func(t *Optimisation, step, final float64) float64
	// second is the first step, from 0, of the second stage.
	second func(t *Optimisation) int64
}

var schedules = []curve{
	{TwoStage, 0.001, twoStageRate, half},
	{Trapezoid, 0, trapezoidRate, coolDown},
	{Cosine, 0.1, cosineRate, half},
}

// half is the first step of the second half.
func half(t *Optimisation) int64 { return int64(t.Steps+1) / 2 }

// coolDown is the first step of a trapezoid's cool-down.
func coolDown(t *Optimisation) int64 {
	if t.CooldownSteps != nil {
		return int64(t.Steps - *t.CooldownSteps)
	}
	return int64(t.Steps - max(min(t.Steps/5, t.Steps-t.WarmupSteps), 0))
}

// twoStageRate is piecewise linear through (warm-up, 1), (steps/2, 2/3) and
// (steps, final).
func twoStageRate(t *Optimisation, s, final float64) float64 {
	warmup, half, end := float64(t.WarmupSteps), float64(t.Steps)/2, float64(t.Steps)
	if s < half {
		return 1 - (s-warmup)/(half-warmup)/3
	}
	return 2.0/3 + (final-2.0/3)*(s-half)/(end-half)
}

// trapezoidRate is 1 up to the cool-down, and then a straight line to
// (steps, final).
func trapezoidRate(t *Optimisation, s, final float64) float64 {
	start, end := float64(coolDown(t)), float64(t.Steps)
	if s < start {
		return 1
	}
	return 1 + (final-1)*(s-start)/(end-start)
}

// cosineRate is final + (1-final) * (1 + cos(pi x)) / 2, where x rises from 0 at
// the end of the warm-up to 1 at t.Steps.
func cosineRate(t *Optimisation, s, final float64) float64 {
	warmup, end := float64(t.WarmupSteps), float64(t.Steps)
	return final + (1-final)*(1+math.Cos(math.Pi*(s-warmup)/(end-warmup)))/2
}

// curve is the schedule's row of the table; the two-stage one where the
// configuration names none.
func (t *Optimisation) curve() *curve {
	for i := range schedules {
		if schedules[i].name == t.Schedule {
			return &schedules[i]
		}
	}
	return &schedules[0]
}

// checkSchedule says what is wrong with the keys of the schedule.
func (t *Optimisation) checkSchedule() error {
	c := t.curve()
	if c.name != t.Schedule && t.Schedule != "" {
		var names []string
		for _, s := range schedules {
			names = append(names, string(s.name))
		}
		return fmt.Errorf("train.schedule is %q: it must be one of %s", t.Schedule, strings.Join(names, ", "))
	}
	if n := t.CooldownSteps; n != nil {
		switch {
		case c.name != Trapezoid:
			return fmt.Errorf("train.cooldown_steps is %d, but the schedule %s has no cool-down: set schedule=%s or cooldown_steps=null", *n, c.name, Trapezoid)
		case *n < 0:
			return fmt.Errorf("train.cooldown_steps is %d: it must not be negative", *n)
		case int64(t.WarmupSteps)+int64(*n) > int64(t.Steps):
			return fmt.Errorf("train.warmup_steps %d and cooldown_steps %d are more than the %d steps: make one of them smaller", t.WarmupSteps, *n, t.Steps)
		}
	}
	if r := t.FinalLRRatio; r != nil && !(*r >= 0 && *r <= 1) {
		return fmt.Errorf("train.final_lr_ratio %g must lie between 0 and 1", *r)
	}
	return nil
}

// learningRate of a step, from 0: it rises in a straight line to the peak over
// the warm-up, and then follows the schedule.
func (t *Optimisation) learningRate(step int64) float64 {
	s, warmup := float64(step), float64(t.WarmupSteps)
	if s < warmup {
		return t.LearningRate * (s + 1) / warmup
	}
	c := t.curve()
	final := c.final
	if t.FinalLRRatio != nil {
		final = *t.FinalLRRatio
	}
	return t.LearningRate * c.rate(t, s, final)
}

// weightDecay of a step, from 0.
func (t *Optimisation) weightDecay(step int64) float64 {
	if step < t.curve().second(t) {
		return t.WeightDecay
	}
	return t.WeightDecayLater
}

// stageBoundary says whether a checkpoint after so many finished steps is one
// of the two around the change of stage, which are always kept.
func (t *Optimisation) stageBoundary(done int64) bool {
	second := t.curve().second(t)
	return t.Steps > 1 && (done == second || done == second+1)
}

// Schedule gives learning rate, weight decay, and where they change the tokens of a step
// and the share of quantisation, over the steps as a run of this configuration would log them: the lines of about so many steps, the first and
// the last among them.
func (c *Config) Schedule(lines int) []runs.Metrics {
	var list []runs.Metrics
	last := int64(c.Train.Steps) - 1
	each := max(last/int64(max(lines, 1)), 1)
	add := func(step int64) {
		m := runs.Metrics{Step: step + 1}
		m.Set(runs.LR, c.Train.learningRate(step))
		m.Set(runs.WeightDecay, c.Train.weightDecay(step))
		if c.Train.BatchGrowth != "" {
			m.Set(runs.StepTokens, float64(c.TokensBetween(step, step+1)))
		}
		if c.Train.QuantizeRamp > 0 {
			m.Set(runs.Ramp, c.Train.ramp(step))
		}
		list = append(list, m)
	}
	for step := int64(0); step < last; step += each {
		add(step)
	}
	add(last)
	return list
}
