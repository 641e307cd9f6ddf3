package suite

import "math"

// Metric is one figure of a task.
type Metric struct {
	Name   string
	Value  float64
	StdErr float64 // NaN where it is unknown: for one question
	Higher bool    // is better
}

// outcome is what one question adds to the metrics of its task, in their order.
func (t Task) outcome(q question, answers []answer) []float64 {
	if t.greedy {
		return []float64{answers[0].LogProb, truth(answers[0].Greedy)}
	}
	plain, each := make([]float64, len(answers)), make([]float64, len(answers))
	for i, a := range answers {
		plain[i], each[i] = a.LogProb, a.LogProb/float64(q.Lengths[i])
	}
	return []float64{truth(argmax(plain) == q.Gold), truth(argmax(each) == q.Gold)}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// argmax is numpy's: the first of the largest, and a value that is not a number is
// larger than all.
func argmax(values []float64) int {
	best := 0
	for i, v := range values {
		if math.IsNaN(values[best]) {
			break
		}
		if v > values[best] || math.IsNaN(v) {
			best = i
		}
	}
	return best
}

// summary makes the metrics of a task of the outcomes of its questions.
func (t Task) summary(outcomes [][]float64) []Metric {
	var out []Metric
	for i, name := range t.metrics() {
		values := make([]float64, len(outcomes))
		for j, o := range outcomes {
			values[j] = o[i]
		}
		m := Metric{Name: name, Value: mean(values), StdErr: meanStdErr(values), Higher: true}
		if name == "perplexity" {
			m.Value, m.StdErr, m.Higher = perplexity(values), bootstrap(perplexity, values, bootstrapRounds), false
		}
		if len(values) < 2 {
			m.StdErr = math.NaN()
		}
		out = append(out, m)
	}
	return out
}

func mean(values []float64) float64 {
	sum := 0.
	for _, v := range values {
		sum += v
	}
	return sum / float64(len(values))
}

// perplexity is e to the mean loss of a continuation, which may be several tokens.
func perplexity(logProbs []float64) float64 { return math.Exp(-mean(logProbs)) }

// stdDev is the standard deviation of a sample.
func stdDev(values []float64) float64 {
	m, sum := mean(values), 0.
	for _, v := range values {
		sum += (v - m) * (v - m)
	}
	return math.Sqrt(sum / float64(len(values)-1))
}

// meanStdErr is the standard error of a mean.
func meanStdErr(values []float64) float64 {
	return stdDev(values) / math.Sqrt(float64(len(values)))
}
