package bitnet

import "time"

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

// Policies of train.on_anomaly, and what was done about an anomaly.
const (
	Warn     = "warn"     // say it and go on
	Stop     = "stop"     // end the run
	RollBack = "rollback" // go back to the last checkpoint and skip the batches of the step
)

// Anomaly is a line of logs/anomalies.jsonl.
type Anomaly struct {
	Step    int64       `json:"step"` // finished steps, that one included
	Kind    AnomalyKind `json:"kind"`
	Message string      `json:"message"`
	Value   Number      `json:"value"` // what was measured
	Limit   Number      `json:"limit"` // what it was held against
	Dump    string      `json:"dump"`  // file in the run's folder with what is needed to debug it, or ""
	Action  string      `json:"action"`
	Time    time.Time   `json:"time"`
}
