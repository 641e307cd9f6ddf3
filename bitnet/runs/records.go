package runs

import (
	"encoding/json"
	"math"
	"time"
)

// Metrics is a line of logs/metrics.jsonl.
type Metrics struct {
	Step, TokensSeen, Memory     int64
	Loss, LossMean, LR, GradNorm float64
	WeightDecay                  float64
	StepTimeMS, TokensPerSec     float64
	Ternary                      map[string][3]float64 // shares of -1, 0 and +1 by projection
}

// Eval is a line of logs/eval.jsonl.
type Eval struct {
	Step       int64              `json:"step"`
	Loss       float64            `json:"loss"`
	Perplexity float64            `json:"perplexity"`
	Tokens     int64              `json:"tokens"`
	ExactMatch *float64           `json:"exact_match,omitempty"`
	Operators  map[string]float64 `json:"exact_match_by_operator,omitempty"`
	Problems   int                `json:"problems,omitempty"`
}

// Sample is a line of logs/samples.jsonl.
type Sample struct {
	Step   int64  `json:"step"`
	Mode   string `json:"mode"`
	Prompt string `json:"prompt"`
	Text   string `json:"text"`
	// Entropy of the distributions that the tokens were chosen from, mean in
	// nats; 0 if it was not written down.
	Entropy float64 `json:"entropy,omitempty"`
}

// Anomaly is a line of logs/anomalies.jsonl.
type Anomaly struct {
	Step    int64     `json:"step"`
	Kind    string    `json:"kind"` // nan, loss_spike, grad_explosion, entropy_collapse, repetition, ternary_collapse
	Message string    `json:"message"`
	Value   *float64  `json:"value,omitempty"`
	Limit   *float64  `json:"limit,omitempty"`
	Dump    string    `json:"dump,omitempty"` // a file of the run, for debugging
	Action  string    `json:"action"`         // warn, stop or rollback
	Time    time.Time `json:"time"`
}

// parseMetrics reads a metrics line with its ternary shares. A number that is
// missing is 0, one that is null or NaN is NaN.
func parseMetrics(line []byte) (Metrics, bool) {
	var v values
	if !scan(line, &v) {
		return Metrics{}, false
	}
	n := &v.num
	for k := range numKeys {
		if !v.has(k) {
			n[k] = 0
		}
	}
	m := Metrics{
		Step: whole(n[Step]), TokensSeen: whole(n[TokensSeen]), Memory: whole(n[Memory]),
		Loss: n[Loss], LossMean: n[LossMean], LR: n[LR], GradNorm: n[GradNorm], WeightDecay: n[WeightDecay],
		StepTimeMS: n[StepTimeMS], TokensPerSec: n[TokensPerSec],
	}
	if v.ternary != nil {
		_ = json.Unmarshal(v.ternary, &m.Ternary)
	}
	return m, m.Step >= 0
}

func whole(x float64) int64 {
	if !(math.Abs(x) < 1<<53) {
		return 0
	}
	return int64(x)
}

func parseEval(line []byte) (Eval, bool) {
	var e Eval
	if json.Unmarshal(line, &e) == nil {
		return e, true
	}
	// A loss that is not a number is not JSON.
	var v values
	if !scan(line, &v) || v.num[Step] < 0 {
		return Eval{}, false
	}
	return Eval{Step: whole(v.num[Step]), Loss: v.num[Loss], Perplexity: math.NaN()}, true
}

func parseSample(line []byte) (Sample, bool) {
	var s Sample
	return s, json.Unmarshal(line, &s) == nil
}

func parseAnomaly(line []byte) (Anomaly, bool) {
	var a Anomaly
	return a, json.Unmarshal(line, &a) == nil
}
