package runs

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"time"
)

// Sample is a line of logs/samples.jsonl.
type Sample struct {
	Step   int64  `json:"step"`
	Mode   string `json:"mode"` // how tokens were chosen
	Prompt string `json:"prompt"`
	Text   string `json:"text"`
	// Entropy is that of the distributions that the tokens were chosen from:
	// the mean, in nats.
	Entropy float64 `json:"entropy"`
}

// AnomalyKind names what went wrong.
type AnomalyKind string

const (
	NotFinite       AnomalyKind = "nan"              // loss or gradient norm is NaN or infinite
	LossSpike       AnomalyKind = "loss_spike"       // far over the running median
	GradExplosion   AnomalyKind = "grad_explosion"   // gradient norm far over the running median
	EntropyCollapse AnomalyKind = "entropy_collapse" // samples are far surer than the loss allows
	Repetition      AnomalyKind = "repetition"       // a sample repeats one phrase
	TernaryCollapse AnomalyKind = "ternary_collapse" // a projection is all zero
)

// Action is what is done about an anomaly, and the value of train.on_anomaly.
type Action string

const (
	Warn     Action = "warn"     // report it and continue
	Stop     Action = "stop"     // end the run
	RollBack Action = "rollback" // return to the last checkpoint and skip the batches of the step
)

// Anomaly is a line of logs/anomalies.jsonl.
type Anomaly struct {
	Step    int64       `json:"step"` // finished steps, including the one in question
	Kind    AnomalyKind `json:"kind"`
	Message string      `json:"message"`
	Value   Number      `json:"value"` // what was measured
	Limit   Number      `json:"limit"` // what it was compared with
	Dump    string      `json:"dump"`  // a file of the run with what is needed to debug it, or ""
	Action  Action      `json:"action"`
	Time    time.Time   `json:"time"`
}

// MarshalJSON writes the numbers that the line has, in the order of the table.
func (m Metrics) MarshalJSON() ([]byte, error) {
	b := strconv.AppendInt(append(make([]byte, 0, 256), `{"`+table[stepKey].Name+`":`...), m.Step, 10)
	for _, k := range Keys() {
		if !m.Has(k) {
			continue
		}
		v, err := Number(m.values[k]).MarshalJSON()
		if err != nil {
			return nil, err
		}
		b = append(append(append(b, ',', '"'), table[k].Name...), `":`...)
		b = append(b, v...)
	}
	if m.Ternary != nil {
		shares, err := json.Marshal(m.Ternary)
		if err != nil {
			return nil, err
		}
		b = append(append(b, `,"`+ternaryName+`":`...), shares...)
	}
	return append(b, '}'), nil
}

// UnmarshalJSON reads a line of metrics.
func (m *Metrics) UnmarshalJSON(text []byte) error {
	got, ok := parseMetrics(text)
	if !ok {
		return errors.New("not a line of metrics: it has no step")
	}
	*m = got
	return nil
}

// parseMetrics reads a metrics line with its ternary shares. A number that is
// null or NaN is NaN.
func parseMetrics(line []byte) (Metrics, bool) {
	var v values
	if !scan(line, &v) {
		return Metrics{}, false
	}
	m := Metrics{Step: whole(v.num[stepKey])}
	for _, k := range Keys() {
		if v.has(k) {
			m.Set(k, v.num[k])
		}
	}
	if v.ternary != nil {
		_ = json.Unmarshal(v.ternary, &m.Ternary) // what cannot be read is left out
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
	// A loss that is not a number may be written as NaN, which is not JSON.
	var v values
	if !scan(line, &v) || v.num[stepKey] < 0 {
		return Eval{}, false
	}
	return Eval{Step: whole(v.num[stepKey]), Loss: Number(v.num[Loss]), Perplexity: Number(math.NaN())}, true
}

func parseSample(line []byte) (Sample, bool) {
	var s Sample
	return s, json.Unmarshal(line, &s) == nil
}

func parseAnomaly(line []byte) (Anomaly, bool) {
	var a Anomaly
	return a, json.Unmarshal(line, &a) == nil
}
