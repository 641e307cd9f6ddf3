package bitnet

import (
	"bytes"
	"encoding/json"
	"math"
)

// Number is a float64 whose JSON is null where it is not finite, for which JSON
// has no form; null is read as NaN.
type Number float64

func (n Number) MarshalJSON() ([]byte, error) {
	if f := float64(n); !math.IsNaN(f) && !math.IsInf(f, 0) {
		return json.Marshal(f)
	}
	return []byte("null"), nil
}

func (n *Number) UnmarshalJSON(text []byte) error {
	if bytes.Equal(text, []byte("null")) {
		*n = Number(math.NaN())
		return nil
	}
	return json.Unmarshal(text, (*float64)(n))
}

// plainMetrics is Metrics without its methods.
type plainMetrics Metrics

// metricsJSON hides the values of Metrics that may not be finite behind ones
// that can be written, and puts what people look for first.
type metricsJSON struct {
	Step     int64  `json:"step"`
	Loss     Number `json:"loss"`
	LossMean Number `json:"loss_mean"`
	GradNorm Number `json:"grad_norm"`
	*plainMetrics
}

func (m Metrics) MarshalJSON() ([]byte, error) {
	return json.Marshal(metricsJSON{m.Step, Number(m.Loss), Number(m.LossMean), Number(m.GradNorm), (*plainMetrics)(&m)})
}

func (m *Metrics) UnmarshalJSON(text []byte) error {
	j := metricsJSON{plainMetrics: (*plainMetrics)(m)}
	err := json.Unmarshal(text, &j)
	m.Step, m.Loss, m.LossMean, m.GradNorm = j.Step, float64(j.Loss), float64(j.LossMean), float64(j.GradNorm)
	return err
}
