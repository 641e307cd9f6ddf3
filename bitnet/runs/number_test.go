package runs

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNumberThatIsNotFinite(t *testing.T) {
	m := Metrics{Step: 3}
	m.Set(Loss, math.NaN())
	m.Set(LossMean, math.Inf(1))
	m.Set(GradNorm, 2.5)
	text, err := json.Marshal(m)
	require.NoError(t, err)
	require.Equal(t, `{"step":3,"loss":null,"loss_mean":null,"grad_norm":2.5}`, string(text))
	got, ok := parseMetrics(text)
	require.True(t, ok)
	require.True(t, math.IsNaN(got.Get(Loss)) && math.IsNaN(got.Get(LossMean)))
	require.Equal(t, 2.5, got.Get(GradNorm))
	require.False(t, got.Has(LR))

	var n Number
	require.NoError(t, json.Unmarshal([]byte("null"), &n))
	require.True(t, math.IsNaN(float64(n)))
	require.NoError(t, json.Unmarshal([]byte("-1.5"), &n))
	require.Equal(t, Number(-1.5), n)
	require.Error(t, json.Unmarshal([]byte(`"x"`), &n))
}
