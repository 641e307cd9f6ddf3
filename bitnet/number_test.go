package bitnet

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMetricsThatAreNotFinite(t *testing.T) {
	m := Metrics{Step: 3, Loss: math.NaN(), LossMean: math.Inf(1), GradNorm: 2.5, LR: 1e-3}
	text, err := json.Marshal(m)
	require.NoError(t, err)
	require.Contains(t, string(text), `"loss":null`)
	var got Metrics
	require.NoError(t, json.Unmarshal(text, &got))
	require.True(t, math.IsNaN(got.Loss) && math.IsNaN(got.LossMean))
	require.Equal(t, int64(3), got.Step)
	require.Equal(t, 2.5, got.GradNorm)
	require.Equal(t, 1e-3, got.LR)

	m.Loss, m.LossMean = 1.25, 1.5
	text, err = json.Marshal(m)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &got))
	require.Equal(t, m, got)
}
